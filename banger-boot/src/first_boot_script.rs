//! The script of the first boot, and what the injection has to know about it.

/// The script, as the guest gets it.
pub(crate) const SCRIPT: &str = include_str!("../assets/first-boot.sh");

/// Returns the programs of all package managers that the script can use: its own list of them.
pub(crate) fn package_managers() -> impl Iterator<Item = &'static str> {
    let list = SCRIPT.lines().find_map(|line| line.strip_prefix("all_managers='")?.strip_suffix('\''));
    list.expect("the script has this line, as a test makes sure").split(' ')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Those that the script names for a distribution, and those that it has commands for.
    fn named() -> BTreeSet<&'static str> {
        let body = SCRIPT.split_once("managers_of() {").expect("the function is there").1;
        let body = body.split_once("\n}").expect("it ends").0;
        let echoed = body.lines().filter_map(|line| line.trim().split_once(") echo ")?.1.strip_suffix(" ;;"));
        echoed.flat_map(|names| names.split(' ')).collect()
    }

    #[test]
    fn the_package_managers_are_those_of_the_script() {
        let managers: Vec<_> = package_managers().collect();
        assert!(managers.contains(&"apt-get") && managers.contains(&"xbps-install"), "{managers:?}");
        let all: BTreeSet<_> = managers.iter().copied().collect();
        assert_eq!(all.len(), managers.len(), "each once: {managers:?}");
        assert_eq!(named(), all, "those of a distribution, and all there are");
    }
}
