//! The scopes of a policy that a reference is in: containers-policy.json(5), "TRANSPORTS AND SCOPES".

use camino::Utf8Path;

use crate::reference::{Reference, RegistryReference};

/// Returns the transport of a reference, and its scopes, the longest first.
pub(super) fn scopes_of(reference: &Reference) -> (String, Vec<String>) {
    match reference {
        Reference::Registry(registry) => ("docker".to_owned(), registry_scopes(registry)),
        Reference::OciLayout { dir, .. } => ("oci".to_owned(), path_scopes(dir)),
        Reference::OciArchive { file, .. } => ("oci-archive".to_owned(), path_scopes(file)),
        // The policy of a docker archive has no scopes but the whole transport; nor has that of sources that
        // hold no signatures.
        other => {
            let name = other.to_string();
            (name.split(':').next().unwrap_or_default().to_owned(), Vec::new())
        }
    }
}

fn registry_scopes(reference: &RegistryReference) -> Vec<String> {
    let repository = format!("{}/{}", reference.registry(), reference.repository());
    let mut scopes = Vec::new();
    scopes.extend(reference.digest().map(|digest| format!("{repository}@{digest}")));
    scopes.extend(reference.tag().map(|tag| format!("{repository}:{tag}")));
    let mut name = repository.as_str();
    loop {
        scopes.push(name.to_owned());
        match name.rsplit_once('/') {
            Some((shorter, _)) => name = shorter,
            None => break,
        }
    }
    // Wildcards are of whole labels, and have no port.
    let mut host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    while let Some((_, domain)) = host.split_once('.') {
        scopes.push(format!("*.{domain}"));
        host = domain;
    }
    scopes
}

/// The path without symlinks, and the directories above it, but for `/`.
fn path_scopes(path: &Utf8Path) -> Vec<String> {
    let resolved = path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned());
    let ancestors = resolved.ancestors().filter(|path| !matches!(path.as_str(), "" | "/"));
    ancestors.map(|path| path.as_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_come_from_the_longest_to_the_widest() {
        let digest = crate::digest::Digest::of(b"");
        for (reference, transport, scopes) in [
            (
                "debian:12".to_owned(),
                "docker",
                vec![
                    "docker.io/library/debian:12",
                    "docker.io/library/debian",
                    "docker.io/library",
                    "docker.io",
                    "*.io",
                ],
            ),
            (
                "a.example.com:5000/x/y:1".to_owned(),
                "docker",
                vec![
                    "a.example.com:5000/x/y:1",
                    "a.example.com:5000/x/y",
                    "a.example.com:5000/x",
                    "a.example.com:5000",
                    "*.example.com",
                    "*.com",
                ],
            ),
            (
                format!("localhost/x:t@{digest}"),
                "docker",
                vec![&format!("localhost/x@{digest}"), "localhost/x:t", "localhost/x", "localhost"],
            ),
            ("oci:/no/where:tag".to_owned(), "oci", vec!["/no/where:tag", "/no"]),
            ("oci-archive:/no/where.tar".to_owned(), "oci-archive", vec!["/no/where.tar", "/no"]),
            ("docker-archive:/no/where.tar".to_owned(), "docker-archive", vec![]),
        ] {
            let parsed: Reference = reference.parse().unwrap();
            let (found, list) = scopes_of(&parsed);
            let scopes: Vec<&str> = match &parsed {
                // The tag is no part of the path.
                Reference::OciLayout { dir, .. } => vec![dir.as_str(), "/no"],
                _ => scopes,
            };
            assert_eq!(
                (found.as_str(), list),
                (transport, scopes.into_iter().map(str::to_owned).collect()),
                "{reference}"
            );
        }
    }
}
