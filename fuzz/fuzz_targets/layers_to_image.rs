//! Whatever tar becomes a tree becomes an image that e2fsck finds nothing wrong with.
//!
//! Run it with `-detect_leaks=0`: the threads of a layer that is given up end by themselves, and
//! hold their buffers until then.
#![no_main]

use std::io::{self, Cursor, Read};

use banger_ext4::{Ext4Backend as _, Ext4Options, ImageSize, NativeBackend};
use banger_oci::Digest;
use banger_oci::flatten::{FlattenOptions, LayerName, LayerSource, flatten};
use camino::Utf8PathBuf;
use libfuzzer_sys::fuzz_target;

struct Layer {
    tar: Vec<u8>,
    digest: Digest,
}

impl LayerSource for Layer {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.tar.clone())))
    }

    fn name(&self) -> LayerName {
        LayerName::Digest(self.digest.clone())
    }

    fn diff_id(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn size_bytes(&self) -> u64 {
        self.tar.len() as u64
    }
}

/// The bytes cut in two where they say so: two layers, so that whiteouts have something to hide.
fn layers(bytes: &[u8]) -> Vec<Layer> {
    let (cut, rest) = bytes.split_at(bytes.len().min(2));
    let blocks = cut.first().map_or(0, |cut| usize::from(*cut));
    let (base, top) = rest.split_at(rest.len().min(blocks * 512));
    [base, top].into_iter().map(layer).collect()
}

/// Headers get the checksum that they should have: nearly all mutations would end there.
fn layer(bytes: &[u8]) -> Layer {
    let mut tar = bytes.to_vec();
    for block in tar.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
    Layer { digest: Digest::of(&tar), tar }
}

fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory can be made");
    let path = Utf8PathBuf::from_path_buf(dir.path().join("image")).expect("a temporary name is UTF-8");
    let options = Ext4Options::default().with_size(ImageSize::Bytes(16 << 20));
    let mut builder = NativeBackend.create(&path, &options).expect("an image can be begun");
    let Ok(flattened) = flatten(&layers(bytes), &mut *builder, &FlattenOptions::default(), &|_| {}) else {
        return;
    };
    if builder.build_ext4(&flattened.tree).is_ok() {
        let e2fsck = banger_testkit::tools::tool("e2fsck").expect("e2fsck is installed");
        if let Err(complaint) = banger_testkit::e2fsck_check(&e2fsck, path.as_std_path()) {
            panic!("{complaint}");
        }
    }
});
