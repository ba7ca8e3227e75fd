use banger_tree::{
    Cancellation, Failure as _, FileType, GuestPath, MemoryStore, Rootfs, Timestamp, Tree, TreeRootfs,
};

use super::*;
use crate::rootfs::edit::Edit;

fn path(text: &str) -> GuestPath {
    GuestPath::parse(text).expect("a path")
}

/// Carries out a script on `rootfs`.
fn run(rootfs: &mut dyn Rootfs, operations: &str) -> Result<Vec<OperationReport>, EditError> {
    let script =
        EditScript::parse(format!(r#"{{"schemaVersion":1,"operations":[{operations}]}}"#).as_bytes())?;
    let mut edit = Edit::new(rootfs, Timestamp::from_seconds(9), &Cancellation::default()).in_one_commit();
    let reports = edit.script(&script)?;
    edit.commit()?;
    Ok(reports)
}

#[test]
fn every_operation_does_what_it_says() {
    let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
    let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
    let host = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(host.path().join("dir")).expect("a directory");
    std::fs::write(host.path().join("dir/in"), "inside").expect("a file");
    let host = host.path().to_str().expect("text").to_owned();
    let reports = run(
        &mut rootfs,
        &format!(
            r#"{{"op":"mkdir","path":"/a/b","parents":true,"mode":"750","owner":"3:4"}},
            {{"op":"write","path":"/a/text","content":"héllo","mode":"600","owner":"5"}},
            {{"op":"write","path":"/a/bytes\\xff","contentBase64":"AAH/"}},
            {{"op":"write","path":"/a/host","source":"{host}/dir/in"}},
            {{"op":"copy-in","path":"/a/copied","source":"{host}/dir"}},
            {{"op":"symlink","path":"/a/link","target":"b"}},
            {{"op":"link","path":"/a/hard","target":"/a/text"}},
            {{"op":"chmod","path":"/a/copied","mode":"u=rwx,go=","recursive":true}},
            {{"op":"chown","path":"/a/link","owner":"7:8","noFollow":true}},
            {{"op":"setxattr","path":"/a/text","name":"user.one","value":"1"}},
            {{"op":"setxattr","path":"/a/text","name":"user.two","valueBase64":"AP8="}},
            {{"op":"removexattr","path":"/a/hard","name":"user.one"}},
            {{"op":"mknod","path":"/a/null","type":"char-device","major":1,"minor":3,"mode":"666"}},
            {{"op":"mknod","path":"/a/pipe","type":"fifo"}},
            {{"op":"rename","path":"/a/host","to":"/a/b/moved"}},
            {{"op":"remove","path":"/a/copied","recursive":true}},
            {{"op":"remove","path":"/missing","force":true}}"#
        ),
    )
    .expect("it fits");
    assert_eq!(reports.len(), 17);
    assert_eq!(reports[1].digest.as_deref().map(str::len), Some(71));
    assert_eq!((reports[14].paths.clone(), reports[16].paths.len()), (vec![path("/a/b/moved")], 0));
    let stat = |text: &str| rootfs.stat(&path(text)).expect("no damage").expect("it exists");
    let owned = |text: &str| {
        let attributes = stat(text).attributes;
        (attributes.mode, attributes.uid, attributes.gid)
    };
    assert_eq!(owned("/a/b"), (0o750, 3, 4));
    assert_eq!((owned("/a/text"), stat("/a/text").nlink), ((0o600, 5, 0), 2));
    assert_eq!(
        stat("/a/hard").attributes.xattrs.iter().collect::<Vec<_>>(),
        [(&b"user.two"[..], &[0, 255][..])]
    );
    assert_eq!(owned("/a/link"), (0o777, 7, 8));
    assert_eq!(stat("/a/null").device, Some((1, 3)));
    assert_eq!(stat("/a/pipe").file_type, FileType::Fifo);
    assert_eq!(rootfs.read(&path("/a/b/moved")).expect("a file"), b"inside");
    assert_eq!(rootfs.read(&path("/a/text")).expect("a file"), "héllo".as_bytes());
    let bytes = GuestPath::parse(b"/a/bytes\xff").expect("a path");
    assert_eq!(rootfs.read(&bytes).expect("a file"), [0, 1, 255]);
    assert!(rootfs.stat(&path("/a/copied")).expect("no damage").is_none());
}

#[test]
fn malformed_scripts_name_the_fault_and_its_place() {
    let parse = |operation: &str| {
        let text = format!("{{\"schemaVersion\": 1,\n \"operations\": [\n{operation}]}}");
        EditScript::parse(text.as_bytes()).expect_err(operation)
    };
    for (operation, want) in [
        (
            r#"{"op":"mkdir","path":"/a","mood":"600"}"#,
            "line 3, column 32 of the script: unknown field `mood`",
        ),
        (r#"{"op":"mkdirs","path":"/a"}"#, "of the script: unknown variant `mkdirs`"),
        (r#"{"op":"mkdir","path":"/a","path":"/b"}"#, "of the script: duplicate field `path`"),
        (r#"{"op":"chmod","path":"/a","mode":420}"#, "of the script: invalid type: integer `420`"),
        (r#"{"path":"/a"}"#, "missing field `op`"),
        (r#"{"op":"mkdir"}"#, "operation 0, mkdir : the field \"path\" is missing"),
        (r#"{"op":"mkdir","path":""}"#, "an empty path names nothing"),
        (r#"{"op":"mkdir","path":"/a\\b"}"#, "the field \"path\" has a backslash"),
        (
            r#"{"op":"mkdir","path":"/a"},{"op":"mkdir","path":"/b","content":"x"}"#,
            "operation 1, mkdir /b: the field \"content\" does not belong to this operation",
        ),
        (r#"{"op":"write","path":"/a"}"#, "the field \"content\" is missing"),
        (r#"{"op":"write","path":"/a","content":"","source":"x"}"#, "the field \"content\" excludes"),
        (r#"{"op":"write","path":"/a","contentBase64":"A"}"#, "the field \"contentBase64\""),
        (r#"{"op":"write","path":"/a","content":"","ifMatch":"x"}"#, "\"x\" is neither a SHA-256 digest"),
        (r#"{"op":"chmod","path":"/a","mode":"9"}"#, "operation 0, chmod /a: \"9\" is not a mode"),
        (r#"{"op":"mknod","path":"/a","type":"file"}"#, "the field \"type\" is not char-device"),
        (r#"{"op":"mknod","path":"/a","type":"block-device","major":1}"#, "the field \"minor\" is missing"),
        (r#"{"op":"mknod","path":"/a","type":"fifo","major":1}"#, "the field \"major\" does not belong"),
        (r#"{"op":"rename","path":"/a"}"#, "the field \"to\" is missing"),
    ] {
        let error = parse(operation);
        assert!(error.to_string().contains(want), "{operation}: {error}");
        assert!(matches!(error.code(), 720 | 724 | 1340 | 1341 | 1344), "{operation}: {}", error.code());
    }
    for (text, want) in [
        ("", "line 1, column 0 of the script: EOF"),
        (r#"{"schemaVersion":2,"operations":[]}"#, "the field \"schemaVersion\" is 2"),
        (r#"{"schemaVersion":1,"operations":[],"more":1}"#, "unknown field `more`"),
        (r#"{"operations":[]}"#, "missing field `schemaVersion`"),
        (r#"{"schemaVersion":1,"operations":[]} x"#, "trailing characters"),
    ] {
        let error = EditScript::parse(text.as_bytes()).expect_err(text);
        assert!(error.to_string().contains(want), "{text}: {error}");
    }
    let with_schema = br#"{"$schema":"edit-script.schema.json","schemaVersion":1,"operations":[]}"#;
    assert!(EditScript::parse(with_schema).expect("a script").is_empty());
}

#[test]
fn a_failing_operation_is_named_with_the_cause() {
    let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
    let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
    let failed =
        run(&mut rootfs, r#"{"op":"mkdir","path":"/a"},{"op":"write","path":"/missing/x","content":""}"#)
            .expect_err("no directory");
    assert_eq!(failed.code(), 700);
    let context = failed.context();
    assert_eq!((context.get("index"), context.get("operation")), (Some("1"), Some("write")));
    assert_eq!((context.get("operation_path"), context.get("path")), (Some("/missing/x"), Some("/missing")));
}

#[test]
fn content_is_compared_before_it_is_replaced() {
    let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
    let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
    let write = |content: &str, wanted: &str| {
        format!(r#"{{"op":"write","path":"/f","content":"{content}","ifMatch":"{wanted}"}}"#)
    };
    run(&mut rootfs, &write("one", "absent")).expect("it is absent");
    let differs = run(&mut rootfs, &write("two", "absent")).expect_err("it exists");
    assert_eq!(differs.code(), 1342);
    let one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    assert_eq!(differs.context().get("found"), Some(format!("sha256:{one}").as_str()));
    run(&mut rootfs, &write("two", one)).expect("it has this content");
    run(&mut rootfs, &write("three", &format!("sha256:{one}"))).expect_err("it has other content");
    assert_eq!(rootfs.read(&path("/f")).expect("a file"), b"two");
}
