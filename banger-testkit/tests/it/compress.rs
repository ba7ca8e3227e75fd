//! Streams that the usual tools read back.

use std::io::Write;
use std::process::{Command, Stdio};

use banger_testkit::{gzip, gzip_members, require, tools, zstd, zstd_frames, zstd_skippable_frame};

fn decompressed(tool: &str, stream: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new(tool).arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let stream = stream.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&stream));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn every_stream_comes_back() {
    require!(tools::tool("zstd"));
    let bytes = b"some text, ".repeat(5000);
    let with_skippable =
        [zstd_skippable_frame(b"in front"), zstd(&bytes), zstd_skippable_frame(b"")].concat();
    let cases = [
        ("gzip", gzip(&bytes)),
        ("gzip", gzip_members(&bytes, 7000)),
        ("zstd", zstd(&bytes)),
        ("zstd", zstd_frames(&bytes, 7000)),
        ("zstd", with_skippable),
    ];
    for (tool, stream) in cases {
        assert!(stream.len() < bytes.len());
        assert_eq!(decompressed(tool, &stream), bytes, "{tool}");
    }
}
