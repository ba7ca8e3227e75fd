//! Scripts that add tools to an image while it is built.

/// The scripts by name.
const SCRIPTS: [(&str, &str); 1] = [("docker", include_str!("../assets/customize/docker.sh"))];

/// Returns the script that adds the tools `name` to an image: `docker`.
pub fn customize_script(name: &str) -> Option<&'static str> {
    SCRIPTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
