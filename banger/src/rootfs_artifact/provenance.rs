//! Where a finished image comes from, as SLSA provenance (slsa.dev/provenance/v1) in an in-toto statement (version 1).

use std::collections::BTreeMap;

use banger_oci::manifest::{Descriptor, ImageManifest, OCI_MANIFEST};
use banger_oci::{Digest, Reference};
use serde::Serialize;

use crate::argument::ArgumentError;
use crate::store::{BuildOptions, BuiltFrom, ImageRecord};
use crate::time::rfc3339;

/// Type of the statement, and of the artifact that has it.
pub const PROVENANCE_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// Annotation of the blob: the type of the predicate.
const PREDICATE_KEY: &str = "in-toto.io/predicate-type";
/// What the parameters mean: described in `docs/trust.md`.
const BUILD_TYPE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/rootfs/v1");
const BUILDER: &str = env!("CARGO_PKG_REPOSITORY");
/// Type and content of the configuration that artifacts without one have.
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";

#[derive(Serialize)]
struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: [Subject<'a>; 1],
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: Predicate<'a>,
}

#[derive(Serialize)]
struct Subject<'a> {
    name: &'a str,
    digest: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    build_definition: BuildDefinition<'a>,
    run_details: RunDetails<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition<'a> {
    build_type: &'static str,
    external_parameters: Parameters<'a>,
    resolved_dependencies: Vec<Dependency>,
}

/// The request of the pull.
#[derive(Serialize)]
struct Parameters<'a> {
    source: &'a str,
    platform: &'a str,
    options: &'a BuildOptions,
    /// The steps after the pull.
    #[serde(skip_serializing_if = "Option::is_none")]
    built: Option<&'a BuiltFrom>,
}

#[derive(Serialize)]
struct Dependency {
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    name: &'static str,
    digest: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct RunDetails<'a> {
    builder: Builder<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
}

#[derive(Serialize)]
struct Builder<'a> {
    id: &'static str,
    version: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    finished_on: String,
}

/// Returns the statement about the artifact `digest` that was made of an image with this record. It has a time only if
/// the caller gives one: the same image has the same statement.
pub(super) fn provenance(
    record: &ImageRecord,
    target: &Reference,
    digest: &Digest,
    epoch: Option<i64>,
) -> Result<Vec<u8>, ArgumentError> {
    let name = match target {
        Reference::Registry(registry) => format!("{}/{}", registry.registry(), registry.repository()),
        _ => "rootfs".to_owned(),
    };
    let metadata = epoch.map(|seconds| Ok(Metadata { finished_on: rfc3339(seconds)? })).transpose()?;
    let statement = Statement {
        kind: STATEMENT,
        subject: [Subject {
            name: &name,
            digest: BTreeMap::from([(digest.algorithm().as_str(), digest.hex())]),
        }],
        predicate_type: PREDICATE,
        predicate: Predicate {
            build_definition: BuildDefinition {
                build_type: BUILD_TYPE,
                external_parameters: Parameters {
                    source: &record.source,
                    platform: &record.platform,
                    options: &record.build,
                    built: record.built.as_ref(),
                },
                resolved_dependencies: dependencies(record),
            },
            run_details: RunDetails {
                builder: Builder {
                    id: BUILDER,
                    version: BTreeMap::from([("banger", record.banger_version.as_str())]),
                },
                metadata,
            },
        },
    };
    Ok(serde_json::to_vec(&statement).expect("keys are texts, and nothing fails to serialize"))
}

/// The content that the image was made of.
fn dependencies(record: &ImageRecord) -> Vec<Dependency> {
    let uri = match record.source.parse::<Reference>() {
        Ok(Reference::Registry(registry)) => format!("docker://{registry}"),
        _ => record.source.clone(),
    };
    let guest = record.build.guest.as_ref().map(|guest| &guest.digest);
    let found = [
        ("image", Some(&record.digest), Some(uri.clone())),
        ("index", record.index_digest.as_ref(), Some(uri)),
        ("guest", guest, None),
        ("kernel", record.build.kernel.as_ref(), None),
    ];
    let dependency = |(name, digest, uri): (&'static str, Option<&String>, Option<String>)| {
        let (algorithm, hex) = digest?.split_once(':')?;
        Some(Dependency { uri, name, digest: BTreeMap::from([(algorithm.to_owned(), hex.to_owned())]) })
    };
    found.into_iter().filter_map(dependency).collect()
}

/// Returns the manifest of an artifact that says `statement` about the artifact `subject`, the bytes of its configuration,
/// and its blobs.
pub(super) fn attestation(
    statement: Vec<u8>,
    subject: Descriptor,
) -> (ImageManifest, &'static [u8], BTreeMap<Digest, Vec<u8>>) {
    let annotations = BTreeMap::from([(PREDICATE_KEY.to_owned(), PREDICATE.to_owned())]);
    let digest = Digest::of(&statement);
    let blob = Descriptor {
        annotations: annotations.clone(),
        ..Descriptor::new(PROVENANCE_TYPE, digest.clone(), statement.len() as u64)
    };
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: Descriptor::new(EMPTY_TYPE, Digest::of(EMPTY), EMPTY.len() as u64),
        layers: vec![blob],
        annotations,
        artifact_type: Some(PROVENANCE_TYPE.to_owned()),
        subject: Some(subject),
    };
    (manifest, EMPTY, BTreeMap::from([(digest, statement)]))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::store::GuestBuildOptions;

    fn statement(epoch: Option<i64>) -> Value {
        let build = BuildOptions::new("native").with_guest(Some(GuestBuildOptions::new("auto", "sha256:aa")));
        let name = "app".parse().unwrap();
        let mut record = ImageRecord::new(name, "docker.io/library/debian:12", "sha256:bb", build);
        record.platform = "linux/amd64".to_owned();
        let target = "registry.example/machines/debian:12".parse().unwrap();
        let digest = Digest::of(b"x");
        let bytes = provenance(&record, &target, &digest, epoch).unwrap();
        assert_eq!(bytes, provenance(&record, &target, &digest, epoch).unwrap());
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn the_statement_names_result_source_and_options() {
        let found = statement(None);
        assert_eq!(found["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(found["predicateType"], "https://slsa.dev/provenance/v1");
        let digest = Digest::of(b"x");
        assert_eq!(
            found["subject"],
            json!([{ "name": "registry.example/machines/debian", "digest": { "sha256": digest.hex() } }])
        );
        let built = &found["predicate"]["buildDefinition"];
        assert_eq!(built["externalParameters"]["source"], "docker.io/library/debian:12");
        assert_eq!(built["externalParameters"]["options"]["backend"], "native");
        assert_eq!(
            built["resolvedDependencies"],
            json!([
                { "uri": "docker://docker.io/library/debian:12", "name": "image", "digest": { "sha256": "bb" } },
                { "name": "guest", "digest": { "sha256": "aa" } },
            ])
        );
        let run = &found["predicate"]["runDetails"];
        assert_eq!(run["builder"]["version"]["banger"], env!("CARGO_PKG_VERSION"));
        assert_eq!(run.get("metadata"), None);
        assert_eq!(
            statement(Some(86_400))["predicate"]["runDetails"]["metadata"]["finishedOn"],
            "1970-01-02T00:00:00Z"
        );
    }
}
