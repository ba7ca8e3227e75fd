//! The errors of trust.

use super::*;
use crate::registry::TrustError;

variants! {
    trust_variant: TrustError {
        NoSignature, WrongKey, WrongDigest, WrongIdentity, NotASignature, MalformedSignature, Rejected,
        UnsupportedRequirement, Policy, Key, TooManySignatures, UnsupportedBundle, UnsignedSource,
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn errors_of_trust() {
    use ErrorKind::{Access, Argument, Damaged, Limit, Unsupported};
    let (policy, scope, reason) = (|| text("/p.json"), || text("docker:h/r"), || text("it is odd"));
    let rows: Vec<Row<TrustError>> = vec![
        (TrustError::NoSignature { digest: digest() }, 1220, Access, false, &["digest"]),
        (
            TrustError::WrongKey { digest: digest(), keys: text("the key x") },
            1221,
            Access,
            false,
            &["digest"],
        ),
        (TrustError::WrongDigest { digest: digest(), signed: text("x") }, 1222, Access, false, &["digest"]),
        (
            TrustError::WrongIdentity { digest: digest(), signed: text("x"), wanted: text("y") },
            1223,
            Access,
            false,
            &["digest"],
        ),
        (
            TrustError::NotASignature { digest: digest(), kind: text("an attestation") },
            1224,
            Access,
            false,
            &["digest"],
        ),
        (
            TrustError::MalformedSignature { digest: digest(), reason: reason() },
            1225,
            Damaged,
            false,
            &["digest"],
        ),
        (
            TrustError::Rejected { policy: policy(), reference: text("h/r"), scope: scope() },
            1226,
            Access,
            false,
            &["path", "reference", "scope"],
        ),
        (
            TrustError::UnsupportedRequirement { policy: policy(), what: text("signedBy"), scope: scope() },
            1227,
            Unsupported,
            false,
            &["path", "scope"],
        ),
        (TrustError::Policy { policy: policy(), reason: reason() }, 1228, Argument, false, &["path"]),
        (TrustError::Key { key: text("/k"), reason: reason() }, 1229, Argument, false, &["path"]),
        (
            TrustError::TooManySignatures { digest: digest(), limit: 64 },
            1230,
            Limit,
            false,
            &["digest", "limit"],
        ),
        (
            TrustError::UnsupportedBundle { digest: digest(), what: text("a certificate") },
            1231,
            Unsupported,
            false,
            &["digest"],
        ),
        (TrustError::UnsignedSource { reference: text("h/r") }, 1232, Unsupported, false, &["reference"]),
    ];
    check(rows, trust_variant, &[]);
}
