//! The errors of pushes.

use banger_tree::NewFileError;

use super::*;
use crate::registry::{PullError, PushError, SignError, SigningKeyError};

variants! {
    push_variant: PushError {
        Denied, Artifact, Target, NoPushes, TooLarge, Full, BlobLost, WrongDigest, File, Cancelled, Pull,
    }
    sign_variant: SignError { Target, TooMany, Occupied, Key, Push }
    signing_key_variant: SigningKeyError { Key, Password }
}

#[test]
fn errors_of_pushes() {
    use ErrorKind::{Access, Argument, Cancelled, Damaged, Exists, Limit, Network, NoSpace, Unsupported};
    let text = |text: &str| text.to_owned();
    let (host, repository, detail, what) =
        (|| text("h"), || text("h/r"), || text("it said so"), || text("blob x"));
    let exists = NewFileError::Exists;
    let rows: Vec<Row<PushError>> = vec![
        (
            PushError::Denied { host: host(), repository: repository(), detail: detail() },
            1260,
            Access,
            false,
            &["host", "repository"],
        ),
        (PushError::Artifact { reason: detail() }, 1261, Argument, false, &[]),
        (PushError::Target { target: repository(), reason: detail() }, 1262, Argument, false, &["reference"]),
        (
            PushError::NoPushes { host: host(), repository: repository(), status: 405, detail: detail() },
            1263,
            Unsupported,
            false,
            &["host", "repository", "status"],
        ),
        (
            PushError::TooLarge { host: host(), what: what(), size_bytes: 7, detail: detail() },
            1264,
            Limit,
            false,
            &["host", "size_bytes", "what"],
        ),
        (PushError::Full { host: host(), detail: detail() }, 1265, NoSpace, false, &["host"]),
        (
            PushError::BlobLost { host: host(), digest: digest(), detail: detail() },
            1266,
            Network,
            true,
            &["digest", "host"],
        ),
        (
            PushError::WrongDigest { host: host(), what: what(), expected: digest(), stated: digest() },
            1267,
            Damaged,
            false,
            &["actual", "expected", "host"],
        ),
        (PushError::File { path: "/x".into(), source: exists }, 1268, Exists, false, &["path"]),
        (PushError::Cancelled, 1269, Cancelled, false, &[]),
        (PullError::Cancelled.into(), 1269, Cancelled, false, &[]),
        (PullError::NoCredentials { registry: host() }.into(), 1186, ErrorKind::NotFound, false, &["host"]),
    ];
    check(rows, push_variant, &[]);
}

#[test]
fn errors_of_signatures() {
    use ErrorKind::{Access, Argument, Cancelled, Exists, Limit, Unsupported};
    let text = |text: &str| text.to_owned();
    let key = || SigningKeyError::Key { key: text("/k"), reason: text("it is odd") };
    let rows: Vec<Row<SigningKeyError>> = vec![
        (key(), 1310, Argument, false, &["path"]),
        (
            SigningKeyError::Password { key: text("/k"), reason: "no password was given" },
            1311,
            Access,
            false,
            &["path"],
        ),
    ];
    check(rows, signing_key_variant, &[]);
    let rows: Vec<Row<SignError>> = vec![
        (
            SignError::Target { target: text("r"), reason: "it is odd" },
            1312,
            Unsupported,
            false,
            &["reference"],
        ),
        (SignError::TooMany { digest: digest(), limit: 64 }, 1313, Limit, false, &["digest", "limit"]),
        (SignError::Occupied { tag: text("t"), reason: text("it is odd") }, 1314, Exists, false, &["tag"]),
        (key().into(), 1310, Argument, false, &["path"]),
        (PushError::Cancelled.into(), 1269, Cancelled, false, &[]),
    ];
    check(rows, sign_variant, &[]);
}
