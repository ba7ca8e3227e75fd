//! Words before a colon that other tools, or other commands, take for the kind of a source.

use super::error::Unfit;

/// The prefixes of names and paths.
const SCHEMES: &str = "write a name such as debian:bookworm or docker://host/name:tag for a registry, or oci:DIR, \
                       oci-archive:FILE, docker-archive:FILE, docker-daemon:NAME, podman:NAME, \
                       containers-storage:NAME or containerd:DIR:NAME for what is on this machine";

/// The kinds of source that this crate reads.
const SCHEMES_READ: [&str; 8] = [
    "containerd",
    "containers-storage",
    "docker",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "podman",
];

/// Words before a colon that other tools take for the kind of a source, and that no image on Docker
/// Hub is called like.
const OTHER_SCHEMES: [&str; 20] = [
    "archive",
    "dir",
    "docker-dir",
    "docker-image",
    "docker-tar",
    "docker-tarball",
    "file",
    "oci-dir",
    "oci-image",
    "oci-layout",
    "oci-registry",
    "oci-tar",
    "ocidir",
    "ociarchive",
    "ostree",
    "sif",
    "singularity",
    "tar",
    "tarball",
    "dockerarchive",
];

/// Returns advice for references in the form of other tools or other commands.
pub(super) fn not_a_registry(text: &str) -> Option<Unfit> {
    let scheme = text.split_once(':').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
    let (scheme, rest) = match &scheme {
        Some((scheme, rest)) => (scheme.as_str(), *rest),
        None => ("", ""),
    };
    if matches!(scheme, "https" | "http") && rest.starts_with("//") {
        return Some(Unfit::new("it is a URL", "leave the scheme out, as in docker.io/library/debian"));
    }
    if text.starts_with(['/', '.', '~']) {
        return Some(Unfit::new(
            "it is a path",
            "write oci:DIR, oci-archive:FILE or docker-archive:FILE for what is on this machine",
        ));
    }
    // A registry may be called anything: `archive:5000/debian`.
    if rest.split_once('/').is_some_and(|(port, _)| port.parse::<u16>().is_ok()) {
        return None;
    }
    if matches!(scheme, "ostree" | "dir") {
        return Some(Unfit::new(
            format!("`{scheme}:` is not read here"),
            "write the image to a file, with `docker save` or `skopeo copy`, and give docker-archive:FILE or \
             oci-archive:FILE",
        ));
    }
    let is_known = SCHEMES_READ.contains(&scheme);
    if OTHER_SCHEMES.contains(&scheme) || (rest.starts_with("//") && scheme != "docker") {
        return Some(Unfit::new(format!("`{scheme}:` is no kind of source"), SCHEMES));
    }
    // The right word in the wrong case.
    (is_known && !text.starts_with(scheme)).then(|| {
        Unfit::new("the kind of the source has uppercase letters", format!("write `{scheme}:` in lowercase"))
    })
}
