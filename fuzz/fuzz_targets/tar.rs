//! The tar reader ends on every input, gives no more bytes of a file than its entry says, and finds
//! the same whatever pieces the input comes in.
#![no_main]

use std::io::{BufReader, Read};

use banger_oci::tar::{Data, TarEntry, TarLimits, TarReader};
use libfuzzer_sys::fuzz_target;

fn read(input: impl Read, piece: usize) -> Result<Vec<(Vec<u8>, u64)>, String> {
    let mut reader = TarReader::new(BufReader::with_capacity(piece, input), TarLimits::default());
    let mut entry = TarEntry::default();
    let mut found = Vec::new();
    while reader.next_entry(&mut entry).map_err(|error| error.to_string())? {
        let mut length = 0_u64;
        while let Some(data) = reader.next_data().map_err(|error| error.to_string())? {
            length += match data {
                Data::Bytes(bytes) => bytes.len() as u64,
                Data::Hole(hole) => hole,
            };
        }
        found.push((entry.path.clone(), length));
    }
    Ok(found)
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(read(bytes, 512), read(bytes, 4096 + 7));
});
