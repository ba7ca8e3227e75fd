//! How the end of a tar is read by `rootfs build`, which has no digest to compare it with.

use std::fs;

use banger_testkit::{Entry, gzip, zstd};
use serde_json::Value;

use crate::support::{Home, text};

#[test]
fn what_is_odd_at_the_end_of_a_tar_is_told_and_what_is_cut_is_refused() {
    let file = || Entry::file("etc/marker", vec![b'm'; 600]).encode();
    let end = vec![0; 1024];
    let whole = [file(), end.clone()].concat();
    let mut zeros_behind = gzip(&whole);
    zeros_behind.resize(zeros_behind.len() + 512, 0);
    let cases: [(&str, Vec<u8>, Result<&str, u64>); 11] = [
        ("whole", whole.clone(), Ok("")),
        ("padded", [whole.clone(), vec![0; 9000]].concat(), Ok("")),
        ("no-end", file(), Ok("lacks the two blocks of zeros")),
        ("one-block", [file(), vec![0; 512]].concat(), Ok("lacks the two blocks of zeros")),
        ("zeros-behind-gzip", zeros_behind, Ok("zeros follow the compressed bytes")),
        ("zstd", zstd(&whole), Ok("")),
        ("only-zeros", vec![0; 10_240], Ok("has no entries")),
        ("zeros-and-more", [end, vec![b'x'; 512]].concat(), Err(209)),
        ("cut-in-a-header", file()[..300].to_vec(), Err(203)),
        ("cut-in-a-file", file()[..700].to_vec(), Err(203)),
        ("cut-gzip", gzip(&whole)[..60].to_vec(), Err(201)),
    ];
    let home = Home::new();
    for (name, bytes, want) in cases {
        let (source, output) = (home.path(name), home.path(&format!("out/{name}.ext4")));
        fs::write(&source, bytes).unwrap();
        let mut build = home.banger(["rootfs", "build", "--json", "--size", "32M"]);
        let ended = build.arg(&source).arg(&output).output().unwrap();
        let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
        match want {
            Ok(warning) => {
                assert!(ended.status.success(), "{name}: {}", text(&ended.stderr));
                let warnings = document["warnings"].as_array().unwrap();
                assert_eq!(warnings.len(), usize::from(!warning.is_empty()), "{name}: {warnings:?}");
                let said = warnings.first().and_then(Value::as_str).unwrap_or_default();
                assert!(said.contains(warning), "{name}: {said}");
            }
            Err(code) => {
                assert_eq!(document["error"]["code"], code, "{name}: {document}");
                assert!(!output.exists(), "{name}");
            }
        }
    }
}
