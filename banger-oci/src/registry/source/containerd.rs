//! Images in the directory of containerd: blobs in its content store, names in its database.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;

use banger_tree::{Advice, ErrorKind};
use camino::{Utf8Path, Utf8PathBuf};

use super::layout::{DirFiles, Layout, names_there_are};
use super::names::{is_same_name, names_of, set_name};
use crate::digest::Digest;
use crate::one_line::one_line;
use crate::reference::Selector;
use crate::registry::bolt::{BoltBucket, BoltError, BoltSnapshot, BoltValue, read_bolt};
use crate::registry::error::PullError;
use crate::registry::event::Progress;
use crate::registry::manifest::{Descriptor, ImageIndex};
use crate::registry::options::PullOptions;

/// The database, below the directory.
const DATABASE: &str = "io.containerd.metadata.v1.bolt/meta.db";
/// The content store, below the directory. Its files have the names that an OCI layout has.
const CONTENT: &str = "io.containerd.content.v1.content";
/// The version of the database's schema, the first bucket of every path.
const SCHEMA: &[u8] = b"v1";
/// The most images of a namespace.
const MAX_IMAGES: usize = 100_000;
/// The longest name of an image.
const MAX_NAME_LEN: usize = 4096;

/// The images of a namespace, and all namespaces.
struct Catalogue {
    images: Option<Vec<Descriptor>>,
    namespaces: Vec<String>,
}

/// Opens the image of a namespace that a selector means.
pub(crate) fn open_containerd(
    dir: &Utf8Path,
    namespace: &str,
    selector: &Selector,
    options: &PullOptions,
    progress: &Progress,
) -> Result<Layout<DirFiles>, PullError> {
    let path = dir.join(DATABASE);
    let Catalogue { images, namespaces } = read(&path, namespace)?;
    let reference = format!("{dir}:{namespace}{selector}");
    let Some(images) = images else {
        let list: Vec<String> = namespaces.iter().map(|name| one_line(name)).collect();
        let detail = match list.is_empty() {
            true => "containerd has no namespaces".to_owned(),
            false => format!("containerd has the namespaces {}", list.join(", ")),
        };
        return Err(PullError::UnknownImage { reference, detail });
    };
    let has_name =
        |image: &Descriptor, wanted: &str| names_of(image).iter().any(|name| is_same_name(name, wanted));
    let (chosen, below): (Vec<Descriptor>, Selector) = match selector {
        Selector::Only => (images.clone(), Selector::Only),
        Selector::Digest(_) => (images.clone(), selector.clone()),
        Selector::Name(name) => {
            (images.iter().filter(|image| has_name(image, name)).cloned().collect(), Selector::Only)
        }
        Selector::Pinned { name, digest } => {
            let fits = |image: &&Descriptor| has_name(image, name) && image.digest == *digest;
            (images.iter().filter(fits).cloned().collect(), Selector::Only)
        }
    };
    if chosen.is_empty() {
        let names: BTreeSet<String> = images.iter().flat_map(names_of).map(one_line).collect();
        return Err(PullError::UnknownImage { reference, detail: names_there_are(&names) });
    }
    // An image is read once, however many names it has.
    let mut known = HashSet::new();
    let chosen = chosen.into_iter().filter(|image| known.insert(image.digest.clone())).collect();
    let index = ImageIndex { manifests: chosen, ..ImageIndex::default() };
    Ok(Layout::new(DirFiles(dir.join(CONTENT)), &below, options, progress).with_index(index))
}

fn read(path: &Utf8PathBuf, namespace: &str) -> Result<Catalogue, PullError> {
    let store_error = |reason: String, kind, advice| PullError::LocalStore {
        path: path.clone(),
        reason,
        kind,
        advice: Advice::new(advice),
    };
    let metadata = std::fs::metadata(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => store_error(
            "there is no such database".to_owned(),
            ErrorKind::NotFound,
            "give the root directory of containerd, as in /var/lib/containerd",
        ),
        _ => PullError::io("open", path)(source),
    })?;
    if !metadata.is_file() {
        return Err(store_error(
            "it is not a regular file".to_owned(),
            ErrorKind::Damaged,
            "check the directory",
        ));
    }
    let file = File::open(path).map_err(PullError::io("open", path))?;
    read_bolt(&file, |snapshot| catalogue(snapshot, namespace)).map_err(|error| match error {
        BoltError::Io(source) => PullError::io("read", path)(source),
        BoltError::Damaged(reason) => store_error(
            format!("it is damaged: {reason}"),
            ErrorKind::Damaged,
            "pull the image into containerd again",
        ),
        BoltError::Busy => {
            store_error("containerd writes it all the time".to_owned(), ErrorKind::InUse, "try again later")
        }
    })
}

fn catalogue(snapshot: &BoltSnapshot<'_>, namespace: &str) -> Result<Catalogue, BoltError> {
    let Some(root) = snapshot.bucket(&[SCHEMA])? else {
        return Ok(Catalogue { images: None, namespaces: Vec::new() });
    };
    let mut namespaces = Vec::new();
    let mut own = None;
    snapshot.each(&root, |name, value| {
        if let BoltValue::Bucket(bucket) = value
            && namespaces.len() < MAX_IMAGES
        {
            if name == namespace.as_bytes() {
                own = Some(bucket);
            }
            namespaces.push(String::from_utf8_lossy(name).into_owned());
        }
        Ok(())
    })?;
    let Some(own) = own else { return Ok(Catalogue { images: None, namespaces }) };
    let mut images = Vec::new();
    if let Some(BoltValue::Bucket(bucket)) = snapshot.get(&own, b"images")? {
        let mut found = Vec::new();
        snapshot.each(&bucket, |name, value| {
            if let BoltValue::Bucket(image) = value {
                if found.len() == MAX_IMAGES {
                    return Err(BoltError::Damaged(format!("a namespace has more than {MAX_IMAGES} images")));
                }
                if name.len() <= MAX_NAME_LEN {
                    found.push((String::from_utf8_lossy(name).into_owned(), image));
                }
            }
            Ok(())
        })?;
        for (name, image) in found {
            images.extend(descriptor(snapshot, &image, name)?);
        }
    }
    Ok(Catalogue { images: Some(images), namespaces })
}

/// Reads the target of an image. An entry with an unknown kind of digest is skipped.
fn descriptor(
    snapshot: &BoltSnapshot<'_>,
    image: &BoltBucket,
    name: String,
) -> Result<Option<Descriptor>, BoltError> {
    let Some(BoltValue::Bucket(target)) = snapshot.get(image, b"target")? else { return Ok(None) };
    let text = |key: &[u8]| -> Result<Option<String>, BoltError> {
        match snapshot.get(&target, key)? {
            Some(BoltValue::Bytes(bytes)) => Ok(String::from_utf8(bytes).ok()),
            _ => Ok(None),
        }
    };
    let Some(digest) = text(b"digest")?.and_then(|text| text.parse::<Digest>().ok()) else { return Ok(None) };
    let size = match snapshot.get(&target, b"size")? {
        Some(BoltValue::Bytes(bytes)) => varint(&bytes),
        _ => None,
    };
    let Some(size) = size else { return Ok(None) };
    let mut descriptor = Descriptor::new(text(b"mediatype")?.unwrap_or_default(), digest, size);
    set_name(&mut descriptor, name);
    Ok(Some(descriptor))
}

/// Reads a number as Go's `PutVarint` writes it.
fn varint(bytes: &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        let shift = u32::try_from(at * 7).ok()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            // The lowest bit is the sign.
            return (value & 1 == 0).then_some(value >> 1);
        }
    }
    None
}
