//! `include/banger.h`, read as text.

use crate::build::root;

/// A function of the header.
#[derive(Debug)]
pub(crate) struct Prototype {
    pub(crate) result: String,
    pub(crate) name: String,
    pub(crate) parameters: Vec<Parameter>,
}

/// A parameter: "const struct banger_store *" and "store".
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) kind: String,
    pub(crate) name: String,
}

impl Parameter {
    pub(crate) fn is_pointer(&self) -> bool {
        self.kind.ends_with('*')
    }

    /// Returns the type of the handle that the parameter points to.
    pub(crate) fn handle(&self) -> Option<&str> {
        let kind = self.kind.strip_prefix("const ").unwrap_or(&self.kind);
        let name = kind.strip_prefix("struct ")?.strip_suffix(" *")?;
        Some(name)
    }
}

impl Prototype {
    /// Returns whether the function can fail: its last parameter takes an error.
    pub(crate) fn is_fallible(&self) -> bool {
        self.parameters.last().is_some_and(|last| last.kind == "struct banger_error **")
    }
}

pub(crate) fn text() -> String {
    std::fs::read_to_string(root().join("include/banger.h")).expect("the header is committed")
}

/// Returns the header without comments.
fn uncommented(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("/*") {
        code += before;
        rest = after.split_once("*/").expect("comments end").1;
    }
    code + rest
}

/// Returns the text without lines of the preprocessor.
fn without_directives(code: &str) -> String {
    code.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// Returns the names of the constants that `text` defines, but those of its version.
pub(crate) fn constants(text: &str) -> Vec<&str> {
    let names = text.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once(' '));
    names.map(|(name, _)| name).filter(|name| !name.starts_with("BANGER_VERSION_")).collect()
}

/// Returns the names of the enumerations in `text`.
pub(crate) fn enumerations(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("typedef enum ")?.strip_suffix(" {")).collect()
}

/// Returns the functions that `text` declares, each on one line.
pub(crate) fn declarations(text: &str) -> Vec<String> {
    let code = without_directives(&uncommented(text));
    let functions = code.split_once("extern \"C\" {").expect("C++ can use it").1;
    let lines = functions.split(';').map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| line.contains('(')).collect()
}

/// Returns all functions of the header.
pub(crate) fn prototypes() -> Vec<Prototype> {
    let all: Vec<Prototype> = declarations(&text()).iter().map(|line| prototype(line)).collect();
    assert!(all.len() > 50, "{} functions", all.len());
    all
}

fn prototype(text: &str) -> Prototype {
    let (head, rest) = text.split_once('(').expect("a function has parameters");
    // A result and a name look as a parameter does.
    let Parameter { kind: result, name } = parameter(head);
    let parameters = rest.strip_suffix(')').expect("they end");
    let parameters = match parameters {
        "void" => Vec::new(),
        list => list.split(", ").map(parameter).collect(),
    };
    Prototype { result, name, parameters }
}

fn parameter(text: &str) -> Parameter {
    let at = text.rfind([' ', '*']).expect("a type and a name") + 1;
    Parameter { kind: text[..at].trim().to_owned(), name: text[at..].to_owned() }
}

/// Returns the names of all functions, in order.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = prototypes().into_iter().map(|function| function.name).collect();
    names.sort();
    names
}

#[test]
fn prototypes_are_understood() {
    let all = prototypes();
    let pull = all.iter().find(|function| function.name == "banger_pull").expect("it is there");
    assert_eq!(pull.result, "int");
    assert!(pull.is_fallible());
    let kinds: Vec<(&str, &str)> =
        pull.parameters.iter().map(|one| (one.kind.as_str(), one.name.as_str())).collect();
    assert_eq!(kinds[0], ("const struct banger_store *", "store"));
    assert_eq!(kinds[4], ("banger_progress_fn", "progress"));
    assert_eq!(pull.parameters[0].handle(), Some("banger_store"));
    assert!(all.iter().all(|function| function.name.starts_with("banger_")));
}
