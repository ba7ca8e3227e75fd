//! Every variant of every error of this crate: what it tells a program. A new variant does not compile until it
//! is listed here, and fails until it has a row.

use std::collections::BTreeMap;
use std::io;

use banger_tree::{ContentError, Cost, ErrorKind, Failure, OverBudget, PathError, Setting};

use crate::digest::{Digest, DigestError};
use crate::flatten::{EntryError, FlattenError, LayerName};
use crate::platform::{Platform, PlatformError};
use crate::reference::{Reference, ReferenceError};
use crate::tar::TarError;

/// Names of the variants; the match fails to compile where one is missing.
macro_rules! variants {
    ($($function:ident: $error:ident { $($variant:ident),* $(,)? })*) => {$(
        fn $function(error: &$error) -> (&'static str, &'static [&'static str]) {
            let name = match error {
                $($error::$variant { .. } => stringify!($variant),)*
            };
            (name, &[$(stringify!($variant)),*])
        }
    )*};
}

variants! {
    flatten_variant: FlattenError {
        Open, Read, DiffId, Tar, Unterminated, Entry, NotATar, TooManyLayers, Cancelled,
    }
    tar_variant: TarError { Read, Truncated, NotAHeader, Number, Extended, Sparse, TypeFlag, Limit }
    entry_variant: EntryError {
        Path, RootNotADirectory, UnnamedWhiteout, WhiteoutDirectory, TooManySymlinks, ResolvedTooLong,
        SymlinkTarget, BadTarget, LinkTarget, LinkTargetMissing, LinkToDirectory, DeviceNumber,
        XattrsTooLarge, XattrName, Limit, Content, Tree, Tar, Cancelled,
    }
}

/// An error and what it has to tell: code, kind, whether it is transient, names of its context.
type Row<E> = (E, u32, ErrorKind, bool, &'static [&'static str]);

/// Fails unless each error tells what its row says, and each variant has a row. Two variants that share a code
/// are in `shared`.
fn check<E: Failure>(
    rows: Vec<Row<E>>,
    variant: impl Fn(&E) -> (&'static str, &'static [&'static str]),
    shared: &[u32],
) {
    let mut missing: Vec<&str> = rows.first().map(|(error, ..)| variant(error).1.to_vec()).unwrap();
    let mut names: BTreeMap<u32, &str> = BTreeMap::new();
    for (error, code, kind, transient, context) in rows {
        let (name, _) = variant(&error);
        missing.retain(|other| *other != name);
        assert_eq!((error.code(), error.kind(), error.is_transient()), (code, kind, transient), "{name}");
        let told = error.context();
        assert_eq!(told.iter().map(|(name, _)| name).collect::<Vec<_>>(), context, "{name}");
        assert!(told.iter().all(|(_, value)| !value.is_empty()), "{name}");
        let before = names.insert(code, name);
        assert!(before.is_none_or(|before| before == name || shared.contains(&code)), "{code} is {before:?}");
        check_text(name, &error);
    }
    assert!(missing.is_empty(), "without a row: {missing:?}");
}

/// Fails where a text has a flag, a command, more than one line, or the wrong shape.
fn check_text(name: &str, error: &dyn Failure) {
    let message = error.to_string();
    let advice = error.advice();
    assert!(advice.as_ref().and_then(banger_tree::Advice::setting).is_none_or(|Setting(setting)| {
        setting.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    }));
    let advice = advice.map(|advice| advice.worded(|Setting(setting)| setting.to_owned()));
    // Only what the caller gave stands between backticks.
    assert!(!message.replace("`r`", "").replace("`oci:`", "").contains('`'), "{name}: {message}");
    for text in [Some(message), advice].into_iter().flatten() {
        assert!(!text.contains("--") && !text.contains("banger "), "{name}: {text}");
        assert!(!text.is_empty() && !text.ends_with('.') && !text.contains('\n'), "{name}: {text}");
        assert!(!text.contains("  ") && !text.contains("{}"), "{name}: {text}");
    }
}

fn digest() -> Digest {
    Digest::of(b"")
}

fn layer() -> LayerName {
    LayerName::Digest(digest())
}

fn over(cost: Cost) -> OverBudget {
    OverBudget { cost, limit: 5 }
}

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

fn bad_path() -> PathError {
    PathError::AboveRoot { path: b"../x".to_vec() }
}

fn entry(source: EntryError) -> FlattenError {
    FlattenError::Entry { layer: layer(), path: "etc/x".to_owned(), source }
}

#[test]
fn errors_of_layers() {
    use ErrorKind::{Cancelled, Damaged, Limit, NoSpace, NotFound, Unsupported};
    let open: io::Error = io::ErrorKind::NotFound.into();
    let tar = |source| FlattenError::Tar { layer: layer(), path: "etc/x".to_owned(), source };
    let limit = EntryError::Limit { setting: Cost::Entries.setting(), what: "entries", maximum: 7 };
    let content = ContentError::NoSpace { store: "the image".to_owned(), needed_bytes: 5, advice: None };
    let at_byte = TarError::TypeFlag { offset: 512, flag: b'V' };
    let rows = vec![
        (FlattenError::Open { layer: layer(), source: open }, 200, NotFound, false, &["layer"][..]),
        (FlattenError::Read { layer: layer(), source: full() }, 201, NoSpace, false, &["layer"]),
        (
            FlattenError::Read { layer: layer(), source: io::Error::other("x") },
            201,
            Damaged,
            false,
            &["layer"],
        ),
        (
            FlattenError::DiffId { layer: layer(), expected: digest(), actual: Digest::of(b"x") },
            202,
            Damaged,
            false,
            &["actual", "expected", "layer"],
        ),
        (tar(at_byte), 203, Unsupported, false, &["layer", "path"]),
        (entry(EntryError::RootNotADirectory), 204, Damaged, false, &["layer", "path"]),
        (entry(limit), 205, Limit, false, &["layer", "limit", "path"]),
        (entry(EntryError::Content(content)), 206, NoSpace, false, &["layer", "path"]),
        (FlattenError::TooManyLayers(over(Cost::Layers)), 205, Limit, false, &["cost", "limit"]),
        (FlattenError::Cancelled, 207, Cancelled, false, &[]),
        (FlattenError::Unterminated { layer: layer() }, 208, Damaged, false, &["layer"]),
        (FlattenError::NotATar { layer: layer() }, 209, Damaged, false, &["layer"]),
    ];
    // What costs too much has one code.
    check(rows, flatten_variant, &[205]);
}

#[test]
fn errors_of_archives() {
    use ErrorKind::{Damaged, Limit, NoSpace, Unsupported};
    let (offset, reason) = (512, "it is odd");
    let row = |error, kind| (error, 203, kind, false, &["offset"][..]);
    let rows = vec![
        row(TarError::Read { offset, source: full() }, NoSpace),
        row(TarError::Truncated { offset, inside: "a file" }, Damaged),
        row(TarError::NotAHeader { offset, reason }, Damaged),
        row(TarError::Number { offset, field: "mode" }, Damaged),
        row(TarError::Extended { offset, record: "pax", reason }, Damaged),
        row(TarError::Sparse { offset, reason }, Damaged),
        row(TarError::TypeFlag { offset, flag: b'V' }, Unsupported),
        row(TarError::Limit { offset, what: "a header", value: 5, maximum: 4 }, Limit),
    ];
    // They have one number: that of a tar that is not one.
    check(rows, tar_variant, &[203]);
}

#[test]
fn errors_of_entries() {
    use ErrorKind::{Argument, Cancelled, Damaged, Limit, NoSpace, Unsupported};
    let target = "etc/y".to_owned();
    let content = ContentError::NoSpace { store: "the image".to_owned(), needed_bytes: 5, advice: None };
    let tree = banger_tree::TreeError::Exists { name: b"x".to_vec() };
    let limit = EntryError::Limit { setting: None, what: "entries", maximum: 7 };
    let rows = [
        (EntryError::Path(bad_path()), Damaged),
        (EntryError::RootNotADirectory, Damaged),
        (EntryError::UnnamedWhiteout, Damaged),
        (EntryError::WhiteoutDirectory, Damaged),
        (EntryError::TooManySymlinks, Damaged),
        (EntryError::ResolvedTooLong, Damaged),
        (EntryError::SymlinkTarget(bad_path()), Damaged),
        (EntryError::BadTarget { reason: "it is empty" }, Damaged),
        (EntryError::LinkTarget(bad_path()), Damaged),
        (EntryError::LinkTargetMissing { target: target.clone() }, Damaged),
        (EntryError::LinkToDirectory { target }, Damaged),
        (EntryError::DeviceNumber { major: 5000, minor: 1 }, Damaged),
        (EntryError::XattrsTooLarge { bytes: 5000, maximum: 4144 }, Limit),
        (EntryError::XattrName { name: "user.x".to_owned() }, Limit),
        (limit, Limit),
        (EntryError::Content(content), NoSpace),
        (EntryError::Tree(tree), ErrorKind::Exists),
        (EntryError::Tar(TarError::TypeFlag { offset: 0, flag: b'V' }), Unsupported),
        (EntryError::Cancelled, Cancelled),
    ];
    let mut missing = entry_variant(&rows[0].0).1.to_vec();
    for (source, kind) in rows {
        let name = entry_variant(&source).0;
        missing.retain(|other| *other != name);
        let error = entry(source);
        assert_eq!(error.kind(), kind, "{name}");
        check_text(name, &error);
    }
    assert!(missing.is_empty(), "without a row: {missing:?}");
    assert_eq!("x".parse::<Platform>().unwrap_err().kind(), Argument);
}

/// Errors that are one struct.
#[test]
fn errors_of_arguments() {
    let reference: ReferenceError = "A b".parse::<Reference>().unwrap_err();
    let platform: PlatformError = "linux".parse::<Platform>().unwrap_err();
    let digest: DigestError = "sha256:x".parse::<Digest>().unwrap_err();
    let errors: [(&dyn Failure, u32); 3] = [(&reference, 100), (&platform, 506), (&digest, 122)];
    for (error, code) in errors {
        assert_eq!((error.code(), error.kind(), error.is_transient()), (code, ErrorKind::Argument, false));
        let text = error.to_string();
        assert!(!text.contains("--") && !text.contains("banger "), "{text}");
    }
}

#[cfg(feature = "registry")]
mod push;
#[cfg(feature = "registry")]
mod trust;

#[cfg(feature = "registry")]
mod pulls {
    use std::sync::Arc;

    use banger_tree::Advice;

    use super::*;
    use crate::registry::{EndpointFailure, FittingImage, PullError, TrustError};

    variants! {
        variant: PullError {
            Reference, UnknownImage, NoPlatform, Ambiguous, PlatformMismatch, Unauthorized, CredentialHelper,
            CredentialFile, Realm, Unreachable, Status, Redirect, Mismatch, Malformed, NotAnImage, Schema1,
            LayerCount, TooLarge, Layout, Io, Environment, TooSlow, WebPage, CacheDamaged, CachePlace,
            OverBudget, Trust, TooManyReferrers, Panicked, Input, Daemon, LocalStore, BlobSource, Cancelled,
            RegistriesFile, Blocked, Endpoints, NotCached, Proxy, ShortName, NoCredentials,
        }
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    fn status(status: u16) -> PullError {
        let (host, path, detail) = (text("h"), text("/v2/r"), text("it said so"));
        PullError::Status { host, status, method: "GET", path, detail }
    }

    fn unreachable(is_transient: bool) -> PullError {
        let advice = Advice::new("check the network");
        PullError::Unreachable { host: text("h"), reason: text("no answer in time"), advice, is_transient }
    }

    fn io_error(action: &'static str, kind: io::ErrorKind) -> PullError {
        PullError::Io { action, path: "/cache".into(), source: Arc::new(kind.into()) }
    }

    fn endpoints(last: PullError) -> PullError {
        let failures = vec![EndpointFailure { endpoint: text("h/x"), reason: text("x") }];
        PullError::Endpoints { what: text("image x"), failures, last: Box::new(last) }
    }

    fn damaged(source: PullError) -> PullError {
        PullError::CacheDamaged { digest: digest(), cache: "/cache".into(), source: Box::new(source) }
    }

    #[test]
    fn errors_of_pulls() {
        use ErrorKind::{
            Access, Argument, Cancelled, Damaged, Internal, Limit, Network, NoSpace, NotFound, Unsupported,
        };
        let (r, reason, what) = (|| text("r"), || text("it is odd"), || text("manifest x"));
        let advice = || Advice::with_setting("choose one by {setting}", Setting("platform"));
        let fitting =
            FittingImage { digest: digest(), names: vec![text("x")], platform: Some(text("linux/amd64")) };
        let no_platform = |available: &str| PullError::NoPlatform {
            reference: r(),
            wanted: text("linux/arm64"),
            available: vec![text(available)],
        };
        let missing = "oci:".parse::<Reference>().unwrap_err();
        let server = &["host", "method", "path", "status"][..];
        let rows = vec![
            (PullError::Reference(missing), 100, Argument, false, &[][..]),
            (
                PullError::UnknownImage { reference: r(), detail: reason() },
                101,
                NotFound,
                false,
                &["reference"],
            ),
            (no_platform("linux/amd64"), 102, NotFound, false, &["platform", "reference"]),
            (no_platform("windows/amd64"), 102, NotFound, false, &["platform", "reference"]),
            (PullError::Unauthorized { host: text("h"), detail: reason() }, 103, Access, false, &["host"]),
            (
                PullError::CredentialHelper { helper: text("x"), reason: reason(), config: "/c".into() },
                104,
                Access,
                false,
                &["helper", "path"],
            ),
            (
                PullError::CredentialFile { path: "/c".into(), reason: reason() },
                105,
                Access,
                false,
                &["path"],
            ),
            (
                PullError::Realm { registry: text("h"), realm: text("http://x"), reason: reason() },
                106,
                Access,
                false,
                &["host", "realm"],
            ),
            (unreachable(true), 107, Network, true, &["host"]),
            (unreachable(false), 107, Network, false, &["host"]),
            (status(404), 108, NotFound, false, server),
            (status(429), 108, Network, true, server),
            (status(503), 108, Network, true, server),
            (status(501), 108, Network, false, server),
            (
                PullError::Redirect { host: text("h"), target: text("file:///"), reason: reason() },
                109,
                Network,
                false,
                &["host", "target"],
            ),
            (
                PullError::Mismatch { digest: digest(), origin: text("h"), reason: reason() },
                110,
                Damaged,
                false,
                &["digest", "origin"],
            ),
            (PullError::Malformed { what: what(), reason: reason() }, 111, Damaged, false, &["what"]),
            (PullError::NotAnImage { what: what(), reason: reason() }, 112, Unsupported, false, &["what"]),
            (PullError::Schema1 { what: what() }, 113, Unsupported, false, &["what"]),
            (
                PullError::LayerCount { digest: digest(), layers: 1, diff_ids: 2 },
                114,
                Damaged,
                false,
                &["digest"],
            ),
            (
                PullError::TooLarge {
                    what: what(),
                    size_bytes: 5,
                    limit_bytes: 4,
                    setting: Setting("max_manifest_bytes"),
                },
                115,
                Limit,
                false,
                &["limit_bytes", "size_bytes", "what"],
            ),
            (
                PullError::Layout {
                    path: "/l".into(),
                    reason: reason(),
                    advice: Some(advice()),
                    may_be_root: true,
                },
                116,
                Damaged,
                false,
                &["path"],
            ),
            (io_error("write", io::ErrorKind::StorageFull), 117, NoSpace, false, &["path"]),
            (io_error("write", io::ErrorKind::PermissionDenied), 117, Access, false, &["path"]),
            (io_error("read", io::ErrorKind::TimedOut), 117, Network, true, &["path"]),
            (PullError::Environment { reason: reason() }, 118, Internal, false, &[]),
            (PullError::Cancelled, 119, Cancelled, false, &[]),
            (
                PullError::Ambiguous { reference: r(), count: 2, images: vec![fitting], advice: advice() },
                120,
                Argument,
                false,
                &["count", "reference"],
            ),
            (
                PullError::PlatformMismatch { digest: digest(), stated: text("a/b"), found: text("a/c") },
                121,
                Damaged,
                false,
                &["digest", "platform"],
            ),
            (
                PullError::TooSlow { what: what(), reason: reason(), advice: advice() },
                130,
                Network,
                true,
                &["what"],
            ),
            (
                PullError::WebPage {
                    who: "the registry",
                    host: text("h"),
                    title: String::new(),
                    what: what(),
                },
                131,
                Network,
                false,
                &["host", "what"],
            ),
            (damaged(status(503)), 132, Network, true, &["digest", "path"]),
            (damaged(PullError::Environment { reason: reason() }), 132, Internal, false, &["digest", "path"]),
            (
                PullError::CachePlace { path: "/c".into(), reason: reason(), advice: advice() },
                133,
                Access,
                false,
                &["path"],
            ),
            (
                PullError::OverBudget { what: what(), over: over(Cost::Urls) },
                134,
                Limit,
                false,
                &["cost", "limit", "what"],
            ),
            (
                PullError::RegistriesFile { path: "/r".into(), reason: reason() },
                1180,
                Argument,
                false,
                &["path"],
            ),
            (
                PullError::Blocked { reference: r(), path: "/r".into() },
                1181,
                Access,
                false,
                &["path", "reference"],
            ),
            (endpoints(status(503)), 1182, Network, true, &["endpoints", "what"]),
            (endpoints(status(404)), 1182, NotFound, false, &["endpoints", "what"]),
            (PullError::NotCached { what: what() }, 1183, NotFound, false, &["what"]),
            (PullError::Proxy { proxy: text("h"), reason: reason() }, 1184, Argument, false, &["host"]),
            (PullError::ShortName { name: r(), reason: reason() }, 1185, Argument, false, &["reference"]),
            (PullError::NoCredentials { registry: text("h") }, 1186, NotFound, false, &["host"]),
            (
                PullError::TooManyReferrers { subject: digest(), limit: 64 },
                1240,
                Limit,
                false,
                &["digest", "limit"],
            ),
            (TrustError::NoSignature { digest: digest() }.into(), 1220, Access, false, &["digest"]),
            (
                PullError::Panicked { who: "a task of the pull", message: text("x") },
                135,
                Internal,
                false,
                &[],
            ),
        ];
        let (kind, path) = (ErrorKind::Unsupported, || camino::Utf8PathBuf::from("/s"));
        let of_store =
            |kind| PullError::LocalStore { path: path(), reason: reason(), kind, advice: advice() };
        let missing = Arc::new(io::Error::from(io::ErrorKind::NotFound));
        let local = [
            (PullError::Input { reason: reason(), advice: advice() }, 1160, Argument, false, &[][..]),
            (
                PullError::Daemon { socket: path(), reason: reason(), kind, advice: advice() },
                1161,
                Unsupported,
                false,
                &["path"],
            ),
            (of_store(Damaged), 1162, Damaged, false, &["path"]),
            (of_store(ErrorKind::InUse), 1162, ErrorKind::InUse, true, &["path"]),
            (PullError::BlobSource { what: what(), source: missing }, 1163, NotFound, false, &["what"]),
        ];
        check(rows.into_iter().chain(local).collect(), variant, &[]);
    }

    #[test]
    fn a_reader_that_asks_no_further_can_tell_a_network_from_damage() {
        let read = |source: PullError| FlattenError::Read { layer: layer(), source: source.into_io() };
        assert_eq!(read(status(503)).kind(), ErrorKind::Network);
        assert_eq!(read(unreachable(true)).kind(), ErrorKind::Network);
        let damage = PullError::Mismatch { digest: digest(), origin: text("h"), reason: text("x") };
        assert_eq!(read(damage).kind(), ErrorKind::Damaged);
    }
}
