//! What the head of the header promises of every function, tried by a C program that is made of the header.

use std::fmt::Write as _;

use crate::build::{Language, Workplace, compile};
use crate::header::{Parameter, Prototype, prototypes};

/// Parameters that may be NULL wherever they are.
const OPTIONAL: [&str; 5] = ["attrs", "cancel", "options", "progress", "user_data"];
/// Types of numbers that a function writes.
const NUMBERS: [&str; 2] = ["size_t *", "uint64_t *"];
/// Parameters that may be NULL in one function.
const OPTIONAL_IN: [(&str, &str); 10] = [
    ("banger_logout", "registry"),
    ("banger_kernel_check", "kernel"),
    ("banger_boot_plan", "kernel"),
    ("banger_vm_run", "kernel"),
    ("banger_image_build", "kernel"),
    ("banger_guest_run", "error_output"),
    ("banger_guest_run", "output"),
    ("banger_pull_start", "file"),
    ("banger_store_open", "cache"),
    ("banger_store_open", "state"),
];
/// Types of parameters whose values depend on the function.
const OWN: [&str; 2] = ["key", "value"];

fn may_be_null(function: &Prototype, parameter: &Parameter) -> bool {
    // Setters of options are about them.
    let is_subject = parameter.kind == "struct banger_options *";
    OPTIONAL.contains(&parameter.name.as_str()) && !is_subject
        || OPTIONAL_IN.contains(&(&function.name, &parameter.name))
}

/// Returns whether the parameter takes a result: its place is a local variable of the program.
fn is_result(parameter: &Parameter) -> bool {
    parameter.kind.ends_with("**") || NUMBERS.contains(&parameter.kind.as_str())
}

/// Returns the value that the program passes for the parameter at `at`.
fn value(function: &Prototype, at: usize) -> String {
    let parameter = &function.parameters[at];
    if parameter.name == "size" {
        // Of the structure or the buffer before it.
        let before = value(function, at - 1);
        return format!("sizeof *{before}");
    }
    if is_result(parameter) {
        return format!("&r_{}", parameter.name);
    }
    if let Some(handle) = parameter.handle() {
        return format!("VALID_{handle}");
    }
    if parameter.kind == "const uint8_t *" {
        return "VALUE_data".to_owned();
    }
    let is_own = OWN.contains(&parameter.name.as_str()) && function.name.starts_with("banger_options_");
    match is_own && parameter.kind != "const char *" {
        true => format!("VALUE_{}_{}", function.name, parameter.name),
        false => format!("VALUE_{}", parameter.name),
    }
}

/// Returns the call with the parameter at `at` replaced.
fn call(function: &Prototype, at: usize, replacement: &str) -> String {
    let values: Vec<String> = function
        .parameters
        .iter()
        .enumerate()
        .map(|(other, _)| if other == at { replacement.to_owned() } else { value(function, other) })
        .collect();
    format!("{}({})", function.name, values.join(", "))
}

/// Writes checks of a function that can fail: each wrong argument is error 511, and no result is written.
fn fallible(function: &Prototype) -> String {
    let mut body = String::new();
    let own = &function.parameters[..function.parameters.len() - 1];
    for (at, parameter) in own.iter().enumerate() {
        let mut wrong = Vec::new();
        if parameter.is_pointer() && !may_be_null(function, parameter) {
            wrong.push("NULL");
        }
        let is_counted = own.get(at + 1).is_some_and(|next| next.kind == "size_t");
        // Names of extended attributes are bytes.
        let is_bytes = is_counted || parameter.name == "name" && function.name.contains("xattr");
        if parameter.kind == "const char *" && !is_bytes {
            wrong.push("\"\\xff\\xfe\"");
        }
        if parameter.kind == "size_t" && (parameter.name == "length" || parameter.name.ends_with("_length")) {
            wrong.push("SIZE_MAX - 1");
        }
        for replacement in wrong {
            let text = call(function, at, replacement);
            writeln!(body, "    CHECK_FAILS(BANGER_ERROR_ARGUMENT, {text});").expect("a string grows");
            let silent = text.replace("&r_error)", "NULL)");
            writeln!(body, "    CHECK({silent} == BANGER_ERROR_ARGUMENT);").expect("a string grows");
        }
    }
    let results = own.iter().filter(|parameter| is_result(parameter));
    let (mut begin, mut end) = (String::new(), String::new());
    for parameter in results {
        let (kind, name) = (parameter.kind.strip_suffix('*').expect("a place").trim(), &parameter.name);
        // Not NULL, so that a NULL that is written is seen.
        let value = if kind.ends_with('*') { format!("({kind})&v_user_data") } else { "77".to_owned() };
        writeln!(begin, "    {kind} r_{name} = {value};").expect("a string grows");
        writeln!(end, "    CHECK(r_{name} == {value});").expect("a string grows");
    }
    format!("{begin}    struct banger_error *error = NULL;\n{}{end}", body.replace("&r_error)", "&error)"))
}

/// Writes checks of a function that only asks a handle, or frees it.
fn infallible(function: &Prototype) -> String {
    let [parameter] = &function.parameters[..] else {
        assert!(function.parameters.is_empty(), "{function:?}");
        let is_new = function.name.ends_with("_new");
        return match function.result.as_str() {
            "uint64_t" => format!("    (void){}();\n", function.name),
            "uint32_t" | "const char *" => format!("    CHECK({}() != 0);\n", function.name),
            _ if is_new => String::new(),
            other => panic!("what does {} return: {other}?", function.name),
        };
    };
    assert!(parameter.handle().is_some(), "{function:?}");
    let call = format!("{}(NULL)", function.name);
    match (function.result.as_str(), function.name.as_str()) {
        ("void", _) => format!("    {call};\n"),
        // The bytes of no string, as documented.
        (_, "banger_string_data") => format!("    CHECK({call} == NULL);\n"),
        (_, "banger_task_fd" | "banger_exec_fd") => format!("    CHECK({call} == -1);\n"),
        ("const char *", _) => format!("    CHECK({call}[0] == '\\0');\n"),
        ("int" | "bool" | "uint32_t" | "uint64_t" | "size_t", _) => format!("    CHECK({call} == 0);\n"),
        (other, _) => panic!("what does {} return: {other}?", function.name),
    }
}

/// Returns the program.
fn program() -> String {
    let mut text = "#include \"values.h\"\n".to_owned();
    let all = prototypes();
    for function in &all {
        let body = if function.is_fallible() { fallible(function) } else { infallible(function) };
        write!(text, "static void t_{}(void)\n{{\n{body}}}\n", function.name).expect("a string grows");
    }
    text +=
        "int main(int count, char **arguments)\n{\n    CHECK(count == 3);\n    make_values(arguments[2]);\n";
    for function in &all {
        writeln!(text, "    t_{}();", function.name).expect("a string grows");
    }
    text + "    free_values();\n    return 0;\n}\n"
}

#[test]
fn every_function_refuses_what_it_must() {
    let text = program();
    assert!(text.matches("CHECK_FAILS").count() > 60, "the header was not understood:\n{text}");
    for (language, more, is_valgrind) in [
        (Language::C99, &["-fsanitize=address"][..], false),
        (Language::Cpp17, &[], false),
        (Language::C99, &[], true),
    ] {
        let place = Workplace::new();
        let (source, program) = (place.path("conventions.c"), place.path("conventions"));
        std::fs::write(&source, &text).expect("it is new");
        compile(language, &source, &program, more);
        match is_valgrind {
            true => crate::programs::under_valgrind(&place, &program),
            false => drop(place.run(&[], &program)),
        }
    }
}
