//! C programs of `tests/c`, plain, under AddressSanitizer with LeakSanitizer, and under valgrind.

use std::path::Path;
use std::process::Command;

use banger_testkit::Skip;

use crate::build::{Language, Workplace, compile, compiler, library_dir, root, run};

/// Runs a program under valgrind, which finds what the library itself does wrong.
pub(crate) fn under_valgrind(place: &Workplace, program: &Path) {
    if Command::new("valgrind").arg("--version").output().is_err() {
        Skip::new("valgrind is missing").report();
        return;
    }
    let options = ["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", "--fair-sched=yes"];
    place.run(&options, program);
}

fn source(name: &str) -> std::path::PathBuf {
    root().join("banger-ffi/tests/c").join(name)
}

/// Compiles a program in both languages and runs it, in C with sanitizers: they see leaks of the library, too,
/// as it takes its memory by malloc.
fn in_both_languages(name: &str) {
    for (language, more) in
        [(Language::C99, &["-fsanitize=address,undefined"][..]), (Language::Cpp17, &[][..])]
    {
        let place = Workplace::new();
        let program = place.path("program");
        compile(language, &source(name), &program, more);
        place.run(&[], &program);
    }
}

#[test]
fn images_are_pulled_copied_built_and_removed() {
    in_both_languages("pull.c");
}

#[test]
fn pulls_under_valgrind() {
    let place = Workplace::new();
    let program = place.path("program");
    compile(Language::C99, &source("pull.c"), &program, &[]);
    under_valgrind(&place, &program);
}

#[test]
fn pulls_stop_at_every_event_and_at_any_time() {
    in_both_languages("stop.c");
}

#[test]
fn threads_share_handles_and_an_event_loop_has_many_tasks() {
    in_both_languages("tasks.c");
}

#[test]
fn calls_that_wait_for_a_lock_are_cancelled() {
    in_both_languages("locks.c");
}

#[test]
fn signals_interrupt_no_call() {
    in_both_languages("storm.c");
}

#[test]
fn the_process_may_fork_while_calls_run() {
    in_both_languages("fork.c");
}

#[test]
fn threads_share_a_store_and_leave_the_process_alone() {
    // Sanitizers have threads and signals of their own.
    let place = Workplace::new();
    let program = place.path("program");
    compile(Language::C99, &source("threads.c"), &program, &[]);
    place.run(&[], &program);
}

#[test]
fn programs_that_the_library_starts_have_no_blocked_signals() {
    if !["/sbin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join("mke2fs").exists()) {
        Skip::new("mke2fs is missing").report();
        return;
    }
    let place = Workplace::new();
    let program = place.path("program");
    compile(Language::C99, &source("helpers.c"), &program, &[]);
    place.run(&[], &program);
}

#[test]
fn standard_streams_may_be_closed() {
    let place = Workplace::new();
    let program = place.path("program");
    compile(Language::C99, &source("pull.c"), &program, &[]);
    place.run(&["sh", "-c", "exec \"$0\" \"$@\" <&- >&- 2>&-"], &program);
}

#[test]
fn the_example_runs_linked_statically() {
    let place = Workplace::new();
    let program = place.path("program");
    let mut command = compiler(Language::C99, &root().join("examples/c/pull.c"), &program);
    run(command.arg(library_dir().join("libbanger.a")).args([
        "-lgcc_s",
        "-lutil",
        "-lrt",
        "-lpthread",
        "-lm",
        "-ldl",
    ]));
    place.run_example(&program, library_dir());
}
