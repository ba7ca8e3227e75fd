//! The format of `policy.json`: containers-policy.json(5). Types and fields that are not known are refused.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8PathBuf;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::identity::IdentityRule;
use super::requirement::{KeySource, Requirement, SignedRequirement};
use crate::one_line::one_line;

/// The default rule, and the rules by transport and scope.
type ParsedPolicy = (Vec<Requirement>, BTreeMap<String, BTreeMap<String, Vec<Requirement>>>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyDocument {
    default: Vec<RequirementDocument>,
    #[serde(default)]
    transports: UniqueMap<UniqueMap<Vec<RequirementDocument>>>,
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields, rename_all = "camelCase", rename_all_fields = "camelCase")]
enum RequirementDocument {
    InsecureAcceptAnything {},
    Reject {},
    SignedBy {
        #[serde(rename = "keyType")]
        _key_type: Option<IgnoredAny>,
        #[serde(rename = "keyPath")]
        _key_path: Option<IgnoredAny>,
        #[serde(rename = "keyPaths")]
        _key_paths: Option<IgnoredAny>,
        #[serde(rename = "keyData")]
        _key_data: Option<IgnoredAny>,
        #[serde(rename = "signedIdentity")]
        _signed_identity: Option<IgnoredAny>,
    },
    SigstoreSigned(Box<SigstoreDocument>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SigstoreDocument {
    key_path: Option<String>,
    key_paths: Option<Vec<String>>,
    key_data: Option<String>,
    key_datas: Option<Vec<String>>,
    fulcio: Option<IgnoredAny>,
    pki: Option<IgnoredAny>,
    rekor_public_key_path: Option<IgnoredAny>,
    rekor_public_key_paths: Option<IgnoredAny>,
    rekor_public_key_data: Option<IgnoredAny>,
    rekor_public_key_datas: Option<IgnoredAny>,
    signed_identity: Option<IdentityDocument>,
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields, rename_all = "camelCase", rename_all_fields = "camelCase")]
enum IdentityDocument {
    MatchExact {},
    MatchRepoDigestOrExact {},
    MatchRepository {},
    ExactReference { docker_reference: String },
    ExactRepository { docker_repository: String },
    RemapIdentity { prefix: String, signed_prefix: String },
}

/// An object in which no key comes twice.
struct UniqueMap<T>(BTreeMap<String, T>);

impl<T> Default for UniqueMap<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for UniqueMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UniqueVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for UniqueVisitor<T> {
            type Value = UniqueMap<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, T>()? {
                    if entries.insert(key.clone(), value).is_some() {
                        return Err(A::Error::custom(format!("{} comes twice", one_line(&key))));
                    }
                }
                Ok(UniqueMap(entries))
            }
        }
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

/// Parses a policy, or says why it cannot be used.
pub(super) fn parse_policy(json: &[u8]) -> Result<ParsedPolicy, String> {
    let document: PolicyDocument =
        serde_json::from_slice(json).map_err(|error| one_line(&error.to_string()))?;
    let default = rule(document.default, "default")?;
    let mut transports = BTreeMap::new();
    for (transport, scopes) in document.transports.0 {
        let mut rules = BTreeMap::new();
        for (scope, requirements) in scopes.0 {
            let requirements = rule(requirements, &format!("{}:{}", one_line(&transport), one_line(&scope)))?;
            rules.insert(scope, requirements);
        }
        transports.insert(transport, rules);
    }
    Ok((default, transports))
}

fn rule(documents: Vec<RequirementDocument>, place: &str) -> Result<Vec<Requirement>, String> {
    if documents.is_empty() {
        return Err(format!("the rule {place} is empty"));
    }
    let requirements = documents.into_iter().map(requirement);
    requirements.collect::<Result<_, _>>().map_err(|reason| format!("in the rule {place}: {reason}"))
}

fn requirement(document: RequirementDocument) -> Result<Requirement, String> {
    let document = match document {
        RequirementDocument::InsecureAcceptAnything {} => return Ok(Requirement::Accept),
        RequirementDocument::Reject {} => return Ok(Requirement::Reject),
        RequirementDocument::SignedBy { .. } => return Ok(Requirement::Unsupported("signedBy (OpenPGP)")),
        RequirementDocument::SigstoreSigned(document) => *document,
    };
    let identity = match document.signed_identity {
        None | Some(IdentityDocument::MatchRepoDigestOrExact {}) => IdentityRule::RepoDigestOrExact,
        Some(IdentityDocument::MatchExact {}) => IdentityRule::Exact,
        Some(IdentityDocument::MatchRepository {}) => IdentityRule::Repository,
        Some(IdentityDocument::ExactReference { docker_reference }) => {
            IdentityRule::ExactReference(docker_reference)
        }
        Some(IdentityDocument::ExactRepository { docker_repository }) => {
            IdentityRule::ExactRepository(docker_repository)
        }
        Some(IdentityDocument::RemapIdentity { prefix, signed_prefix }) => {
            IdentityRule::Remap { prefix, signed_prefix }
        }
    };
    if let Some(fault) = identity.fault() {
        return Err(fault);
    }
    let rekor = [
        &document.rekor_public_key_path,
        &document.rekor_public_key_data,
        &document.rekor_public_key_paths,
        &document.rekor_public_key_datas,
    ];
    for (is_given, what) in [
        (document.fulcio.is_some(), "sigstoreSigned with fulcio"),
        (document.pki.is_some(), "sigstoreSigned with pki"),
        (rekor.into_iter().any(Option::is_some), "sigstoreSigned with rekorPublicKey"),
    ] {
        if is_given {
            return Ok(Requirement::Unsupported(what));
        }
    }
    let files = |paths: Vec<String>| -> Result<Vec<KeySource>, String> {
        Ok(paths.into_iter().map(|path| KeySource::File(Utf8PathBuf::from(path))).collect())
    };
    let data = |texts: Vec<String>| -> Result<Vec<KeySource>, String> {
        let decode = |text: &String| STANDARD.decode(text).map(KeySource::Pem);
        texts
            .iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(|_| "its key data is not base64".to_owned())
    };
    let SigstoreDocument { key_path, key_paths, key_data, key_datas, .. } = document;
    let sources = [
        key_path.map(|path| files(vec![path])),
        key_paths.map(files),
        key_data.map(|text| data(vec![text])),
        key_datas.map(data),
    ];
    let mut sources = sources.into_iter().flatten();
    let (Some(keys), None) = (sources.next(), sources.next()) else {
        return Err("sigstoreSigned has to have one of keyPath, keyPaths, keyData and keyDatas".to_owned());
    };
    let keys = keys?;
    if keys.is_empty() {
        return Err("its list of keys is empty".to_owned());
    }
    Ok(Requirement::Signed(SignedRequirement { keys, identity }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_strictly() {
        let sigstore = |fields: &str| format!(r#"{{"default":[{{"type":"sigstoreSigned",{fields}}}]}}"#);
        let accept = r#"[{"type":"insecureAcceptAnything"}]"#;
        for (text, is_read) in [
            (format!(r#"{{"default":{accept}}}"#), true),
            (
                format!(r#"{{"default":{accept},"transports":{{"docker":{{"":[{{"type":"reject"}}]}}}}}}"#),
                true,
            ),
            (format!(r#"{{"default":{accept},"transports":{{"new-transport":{{"x":{accept}}}}}}}"#), true),
            (r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}]}"#.to_owned(), true),
            (r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyring":"/k"}]}"#.to_owned(), false),
            (sigstore(r#""keyPath":"/k""#), true),
            (sigstore(r#""keyPaths":["/k","/l"],"signedIdentity":{"type":"matchRepository"}"#), true),
            (sigstore(r#""keyData":"aGk=""#), true),
            (sigstore(r#""keyDatas":["aGk="],"signedIdentity":{"type":"matchExact"}"#), true),
            (sigstore(r#""fulcio":{"caPath":"/c"},"rekorPublicKeyPath":"/r""#), true),
            (
                sigstore(
                    r#""keyPath":"/k","signedIdentity":{"type":"remapIdentity","prefix":"a.b","signedPrefix":"c.d"}"#,
                ),
                true,
            ),
            (
                sigstore(
                    r#""keyPath":"/k","signedIdentity":{"type":"exactRepository","dockerRepository":"a:1"}"#,
                ),
                false,
            ),
            (sigstore(r#""keyPath":"/k","signedIdentity":{"type":"matchAnything"}"#), false),
            (sigstore(r#""keyPath":"/k","signedIdentity":{"type":"matchExact","x":1}"#), false),
            (sigstore(r#""keyPath":"/k","keyData":"aGk=""#), false),
            (sigstore(r#""keyPath":"/k","keyPath":"/l""#), false),
            (sigstore(r#""keyData":"not base64""#), false),
            (sigstore(r#""keyPaths":[]"#), false),
            (sigstore(r#""signedIdentity":{"type":"matchExact"}"#), false),
            (sigstore(r#""keyPath":"/k","new":1"#), false),
            (r#"{"default":[]}"#.to_owned(), false),
            (r#"{"default":[{"type":"trustMe"}]}"#.to_owned(), false),
            (r#"{"default":[{"type":"reject","x":1}]}"#.to_owned(), false),
            (r#"{"default":[{"type":"reject","type":"insecureAcceptAnything"}]}"#.to_owned(), false),
            (r#"{"transports":{}}"#.to_owned(), false),
            (format!(r#"{{"default":{accept},"default":{accept}}}"#), false),
            (format!(r#"{{"default":{accept},"Default":{accept}}}"#), false),
            (format!(r#"{{"default":{accept},"transports":{{"docker":{{}},"docker":{{}}}}}}"#), false),
            (
                format!(r#"{{"default":{accept},"transports":{{"docker":{{"a":{accept},"a":{accept}}}}}}}"#),
                false,
            ),
            (format!(r#"{{"default":{accept}}} x"#), false),
            ("[]".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(parse_policy(text.as_bytes()).is_ok(), is_read, "{text}");
        }
    }
}
