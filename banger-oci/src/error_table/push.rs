//! The errors of pushes.

use banger_tree::NewFileError;

use super::*;
use crate::registry::{PullError, PushError};

variants! {
    push_variant: PushError {
        Denied, Artifact, Target, NoPushes, TooLarge, Full, BlobLost, WrongDigest, File, Cancelled, Pull,
    }
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
