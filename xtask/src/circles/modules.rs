//! The files of a crate, which of them need which, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use anyhow::Context as _;

use super::paths::{FilePaths, Segments};

/// How many re-exports one name is followed through.
const REEXPORTS_MAX: u32 = 8;

/// The files of one crate by their module, the root's path empty.
#[derive(Clone, Debug, Default)]
pub(super) struct CrateModules(BTreeMap<Segments, FilePaths>);

/// Files that need each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Circle {
    package: String,
    /// What each file needs of the others.
    pub(super) needs: Vec<(String, Vec<String>)>,
}

impl fmt::Display for Circle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.package)?;
        self.needs.iter().try_for_each(|(module, _)| write!(formatter, " {module}"))
    }
}

impl CrateModules {
    /// Reads all files below `src`.
    pub(super) fn read(src: &Path) -> anyhow::Result<Self> {
        let mut modules = Self::default();
        for file in crate::lines::rust_files(src)? {
            let within = file.strip_prefix(src)?.with_extension("");
            let mut module: Segments =
                within.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if module.last().is_some_and(|last| last == "mod") {
                module.pop();
            }
            if module == ["lib"] || module == ["main"] {
                module.clear();
            }
            if !module.iter().any(|name| name == "tests") {
                let code = std::fs::read_to_string(&file)?;
                modules.add(module, &code).with_context(|| file.display().to_string())?;
            }
        }
        Ok(modules)
    }

    fn add(&mut self, module: Segments, code: &str) -> syn::Result<()> {
        self.0.entry(module).or_default().read(code)
    }

    /// Returns the circles among the files.
    pub(super) fn circles(&self, package: &str) -> Vec<Circle> {
        let needs: BTreeMap<&Segments, BTreeSet<&Segments>> =
            self.0.keys().map(|module| (module, self.needs_of(module))).collect();
        let reached: BTreeMap<&Segments, BTreeSet<&Segments>> =
            needs.keys().map(|module| (*module, reached_from(module, &needs))).collect();
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for module in needs.keys() {
            let circle: BTreeSet<&Segments> =
                reached[module].iter().copied().filter(|other| reached[other].contains(module)).collect();
            if circle.len() > 1 && seen.insert(circle.clone()) {
                let needs = circle.iter().map(|from| {
                    let to = needs[from].intersection(&circle).map(|to| name_of(to)).collect();
                    (name_of(from), to)
                });
                circles.push(Circle { package: package.to_owned(), needs: needs.collect() });
            }
        }
        circles
    }

    fn needs_of(&self, module: &Segments) -> BTreeSet<&Segments> {
        let file = &self.0[module];
        let mut needs = BTreeSet::new();
        for (inside, path) in &file.used {
            let place: Segments = module.iter().chain(inside).cloned().collect();
            let target = self.resolve(&place, path, 0).or_else(|| {
                // A path that starts at an import.
                let (first, rest) = path.split_first()?;
                let import = file.imported.get(first)?;
                self.resolve(module, &import.iter().chain(rest).cloned().collect::<Segments>(), 0)
            });
            needs.extend(target.filter(|target| *target != module));
        }
        needs
    }

    /// Returns the file that defines what `path` names in `module`; none for paths of other crates.
    fn resolve(&self, module: &[String], path: &[String], depth: u32) -> Option<&Segments> {
        let path = self.absolute(module, path)?;
        let length = (0..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
        let (target, file) = self.0.get_key_value(&path[..length])?;
        let Some(name) = path.get(length).filter(|_| depth < REEXPORTS_MAX) else { return Some(target) };
        if file.defined.contains(name) {
            return Some(target);
        }
        let mut exports = file
            .exported
            .get(name)
            .map(|export| (export.clone(), length + 1))
            .into_iter()
            .chain(file.exported_globs.iter().map(|glob| (glob.clone(), length)));
        let behind = exports.find_map(|(mut export, rest)| {
            let is_glob = rest == length;
            export.extend_from_slice(&path[rest..]);
            let found = self.resolve(target, &export, depth + 1)?;
            (!is_glob || self.0[found].defined.contains(name)).then_some(found)
        });
        Some(behind.unwrap_or(target))
    }

    fn absolute(&self, module: &[String], path: &[String]) -> Option<Segments> {
        let mut place = module.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" | "super" => {
                while let Some((first, after)) = rest.split_first() {
                    match first.as_str() {
                        "super" => drop(place.pop()),
                        "self" => {}
                        _ => break,
                    }
                    rest = after;
                }
            }
            first => {
                let child: Segments = module.iter().cloned().chain([first.to_owned()]).collect();
                if !self.0.contains_key(&child) {
                    return None;
                }
            }
        }
        place.extend_from_slice(rest);
        Some(place)
    }
}

fn reached_from<'a>(
    module: &'a Segments,
    needs: &BTreeMap<&'a Segments, BTreeSet<&'a Segments>>,
) -> BTreeSet<&'a Segments> {
    let mut reached = BTreeSet::new();
    let mut pending = vec![module];
    while let Some(module) = pending.pop() {
        pending.extend(needs[module].iter().copied().filter(|next| reached.insert(*next)));
    }
    reached
}

fn name_of(module: &Segments) -> String {
    if module.is_empty() { "lib".to_owned() } else { module.join("::") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let mut modules = CrateModules::default();
        for (module, code) in files {
            let module = module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
            modules.add(module, code).unwrap();
        }
        modules.circles("crate").iter().map(Circle::to_string).collect()
    }

    #[test]
    fn files_that_need_each_other_are_a_circle() {
        for (what, one, other) in [
            ("imports", "use crate::b::B; pub struct A;", "use super::a::{A as Other}; pub struct B;"),
            ("paths", "fn f() { crate::b::g() }", "fn g(x: super::a::A) {}"),
            ("macros", "fn f() { println!(\"{}\", crate::b::N) }", "use crate::a;\nfn g() { a::f() }"),
            ("re-exports", "use crate::B; pub struct A;", "use crate::A; pub struct B;"),
            ("globs", "use crate::b::*;", "use super::a::f;"),
            ("attributes", "#[error(\"{}\", crate::b::N)] struct A;", "use crate::a::A;"),
            ("modules inside", "mod m { use super::super::b::B; }", "use crate::a::f;"),
        ] {
            let root = ("", "mod a; mod b; pub use a::*; pub use b::B; pub use a::A;");
            assert_eq!(circles(&[root, ("a", one), ("b", other)]), ["crate: a b"], "{what}");
        }
        let deep = [("", "mod a;"), ("a", "mod b; use b::B; pub struct A;"), ("a::b", "use super::A;")];
        assert_eq!(circles(&deep), ["crate: a a::b"]);
    }

    #[test]
    fn what_is_no_need_makes_no_circle() {
        for (what, one, other) in [
            ("one direction", "use crate::b::B;", "pub struct B;"),
            ("re-exports of a parent", "use super::B;", "pub(super) fn f() {}"),
            ("tests", "use crate::b::B;", "#[cfg(test)] mod tests { use crate::a::A; }"),
            ("functions of tests", "use crate::b::B;", "#[cfg(test)] fn f() { crate::a::f() }"),
            ("other crates", "use crate::b::B;", "use std::a::A; fn f() { a::f() }"),
            ("text", "use crate::b::B;", "/// See [`crate::a::A`].\nconst N: &str = \"crate::a::A\";"),
        ] {
            let root = ("", "mod a; mod b; pub use b::B;");
            assert!(circles(&[root, ("a", one), ("b", other)]).is_empty(), "{what}");
        }
    }
}
