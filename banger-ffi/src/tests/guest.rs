//! All that can be asked of a guest, of an agent that follows a script.

use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::ptr::null;

use banger_testkit::ScriptedAgent;

use super::agent::obliging;
use super::*;
use crate::exec::*;
use crate::guest::*;

const EXIT: usize = size_of::<banger_exit>();

/// A client that is freed.
pub(super) struct Guest(*mut banger_guest);

/// Threads share it, as the header allows.
unsafe impl Sync for Guest {}

impl Guest {
    pub(super) fn at(address: &str, options: Option<&Options>) -> Self {
        let address = CString::new(address).unwrap();
        let options = options.map_or(null_mut(), |options| options.0);
        let guest = answer(|out, error| unsafe { banger_guest_new(address.as_ptr(), options, out, error) });
        Self(guest.unwrap())
    }

    pub(super) fn get(&self) -> *const banger_guest {
        self.0
    }

    pub(super) fn of(agent: &ScriptedAgent) -> Self {
        Self::at(&format!("unix:{}", agent.path().display()), None)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        unsafe { banger_guest_free(self.0) };
    }
}

#[test]
fn every_operation_comes_back_as_the_command_line_prints_it() {
    let agent = ScriptedAgent::new(obliging);
    let guest = Guest::of(&agent);
    unsafe {
        let health = json(|out, error| banger_guest_health(guest.get(), null(), out, error)).unwrap();
        assert_eq!((&health["version"], &health["agent_version"]), (&1.into(), &"1.2.3".into()));
        assert_eq!(
            json(|out, error| banger_guest_wait_ready(guest.get(), 9000, null(), out, error)).unwrap(),
            health
        );
        let info = json(|out, error| banger_guest_info(guest.get(), null(), out, error)).unwrap();
        assert_eq!(info["hostname"], "vm7");
        let network = Options::new()
            .text(banger_option::BANGER_OPT_NETWORK_INTERFACE, "eth9")
            .flag(banger_option::BANGER_OPT_NETWORK_PERSIST, true);
        let set =
            json(|out, error| banger_guest_set_network(guest.get(), network.0, null(), out, error)).unwrap();
        assert_eq!(set, serde_json::json!({ "version": 1, "interface": "eth9" }));
        let grown = json(|out, error| banger_guest_grow(guest.get(), null(), out, error)).unwrap();
        assert_eq!(grown, serde_json::json!({ "version": 1, "before_bytes": 1, "after_bytes": 2 }));
        done(|error| banger_guest_shutdown(guest.get(), true, null(), error)).unwrap();
        let exit =
            answer(|out, error| banger_guest_wait(guest.get(), BANGER_FOREVER, null(), out, EXIT, error))
                .unwrap();
        assert_eq!((exit.kind, exit.signal), (banger_exit_kind::BANGER_EXIT_KILLED as u32, 9));
        let runs = answer(|out: *mut banger_exit, error| {
            banger_guest_wait(guest.get(), 1, null(), out, EXIT, error)
        });
        assert_eq!(runs.unwrap_err().code, 917);
    }
}

#[test]
fn files_are_copied_through_descriptors() {
    let agent = ScriptedAgent::new(obliging);
    let guest = Guest::of(&agent);
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[7; 5000]).unwrap();
    drop(writer);
    let options = Options::new()
        .number(banger_option::BANGER_OPT_COPY_MODE, 0o640)
        .flag(banger_option::BANGER_OPT_COPY_PARENTS, true);
    let (path, fd) = (c"/etc/x".as_ptr(), reader.as_raw_fd());
    let copied = answer(|out, error| unsafe {
        banger_guest_copy_in_fd(guest.get(), path, fd, options.0, null(), out, error)
    });
    assert_eq!(copied.unwrap(), 5000_u64);
    let mut file = tempfile::tempfile().unwrap();
    let fd = file.as_raw_fd();
    let copied =
        json(|out, error| unsafe { banger_guest_copy_out_fd(guest.get(), path, fd, null(), out, error) });
    assert_eq!(copied.unwrap(), serde_json::json!({ "version": 1, "bytes": 5 }));
    let mut content = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut content).unwrap();
    assert_eq!(content, "bytes");
}

#[test]
fn a_program_is_run_and_its_output_has_a_limit() {
    let agent = ScriptedAgent::new(obliging);
    let guest = Guest::of(&agent);
    let program = || {
        Options::new()
            .list(banger_option::BANGER_OPT_EXEC_ARGV, &["uname", "-r"])
            .list(banger_option::BANGER_OPT_EXEC_ENV, &["A=b=c"])
    };
    let options = program();
    let (mut output, mut error_output) = (null_mut(), null_mut());
    let exit = answer(|out, error| unsafe {
        banger_guest_run(
            guest.get(),
            options.0,
            null(),
            &raw mut output,
            &raw mut error_output,
            out,
            EXIT,
            error,
        )
    });
    let exit: banger_exit = exit.unwrap();
    assert_eq!((exit.kind, exit.status), (banger_exit_kind::BANGER_EXIT_EXITED as u32, 3));
    assert_eq!(taken(output), br#"["uname", "-r"] [("A", "b=c")]"#);
    assert_eq!(taken(error_output), b"err");
    // Nobody has to take it.
    let exit: Result<banger_exit, _> = answer(|out, error| unsafe {
        banger_guest_run(guest.get(), options.0, null(), null_mut(), null_mut(), out, EXIT, error)
    });
    assert_eq!(exit.unwrap().status, 3);
    let small = Options::new().number(banger_option::BANGER_OPT_MAX_OUTPUT_BYTES, 4);
    let guest = Guest::at(&format!("unix:{}", agent.path().display()), Some(&small));
    for (options, code) in [
        (program(), 920),
        (program().flag(banger_option::BANGER_OPT_EXEC_STDIN, true), BANGER_ERROR_OPTION),
        (Options::new(), BANGER_ERROR_ARGUMENT),
        (program().list(banger_option::BANGER_OPT_EXEC_ENV, &["none"]), BANGER_ERROR_ARGUMENT),
        (program().number(banger_option::BANGER_OPT_EXEC_ROWS, 24), BANGER_ERROR_ARGUMENT),
        (program().number(banger_option::BANGER_OPT_EXEC_ROWS, 70_000), BANGER_ERROR_ARGUMENT),
    ] {
        let run: Result<banger_exit, _> = answer(|out, error| unsafe {
            banger_guest_run(guest.get(), options.0, null(), null_mut(), null_mut(), out, EXIT, error)
        });
        assert_eq!(run.unwrap_err().code, code);
    }
}

/// A session that is freed.
pub(super) struct Session(*mut banger_exec);

/// Another thread asks for its input, as the header allows.
unsafe impl Sync for Session {}

impl Session {
    pub(super) fn start(guest: &Guest, cancel: *const crate::cancel::banger_cancel) -> Self {
        let options = Options::new()
            .list(banger_option::BANGER_OPT_EXEC_ARGV, &["cat"])
            .flag(banger_option::BANGER_OPT_EXEC_STDIN, true);
        let exec =
            answer(|out, error| unsafe { banger_exec_start(guest.get(), options.0, cancel, out, error) });
        Self(exec.unwrap())
    }

    pub(super) fn next(&self, timeout_ms: u64) -> Result<(u32, Vec<u8>), CallError> {
        let size = size_of::<banger_exec_event>();
        let event: banger_exec_event =
            answer(|out, error| unsafe { banger_exec_next(self.0, timeout_ms, out, size, error) })?;
        let data = match event.data.is_null() {
            true => Vec::new(),
            false => unsafe { slice::from_raw_parts(event.data.cast::<u8>(), event.length) }.to_owned(),
        };
        Ok((event.kind, data))
    }

    fn get(&self) -> *const banger_exec {
        self.0
    }

    pub(super) fn input(&self) -> Input {
        Input(answer(|out, error| unsafe { banger_exec_open_input(self.0, out, error) }).unwrap())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        unsafe { banger_exec_free(self.0) };
    }
}

/// An input that is freed.
pub(super) struct Input(*mut banger_exec_input);

/// Any thread may use it, as the header says.
unsafe impl Send for Input {}

impl Input {
    pub(super) fn write(&self, data: &[u8]) -> Result<(), CallError> {
        done(|error| unsafe { banger_exec_input_write(self.0, data.as_ptr(), data.len(), error) })
    }

    pub(super) fn signal(&self, number: c_int) -> Result<(), CallError> {
        done(|error| unsafe { banger_exec_input_signal(self.0, number, error) })
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        unsafe { banger_exec_input_free(self.0) };
    }
}

#[test]
fn a_session_takes_input_of_one_thread_and_gives_output_to_another() {
    const BYTES: usize = 1 << 20;
    let agent = ScriptedAgent::new(obliging);
    let guest = Guest::of(&agent);
    let session = Session::start(&guest, null());
    assert_eq!(unsafe { banger_exec_pid(session.get()) }, 42);
    assert!(unsafe { banger_exec_fd(session.get()) } >= 0);
    // It waits for input.
    assert_eq!(session.next(0).unwrap().0, banger_exec_kind::BANGER_EXEC_NOTHING as u32);
    assert_eq!(session.next(30).unwrap().0, banger_exec_kind::BANGER_EXEC_NOTHING as u32);
    let early: Result<banger_exit, _> =
        answer(|out, error| unsafe { banger_exec_exit(session.get(), out, EXIT, error) });
    assert_eq!(early.unwrap_err().code, BANGER_ERROR_ARGUMENT);
    let input = session.input();
    let writer = std::thread::spawn(move || {
        input.write(&vec![b'x'; BYTES]).unwrap();
        done(|error| unsafe { banger_exec_input_resize(input.0, 5, 6, error) }).unwrap();
        input.signal(10).unwrap();
        done(|error| unsafe { banger_exec_input_close(input.0, error) }).unwrap();
        input
    });
    let (mut output, mut error_output) = (Vec::new(), Vec::new());
    loop {
        let (kind, data) = session.next(BANGER_FOREVER).unwrap();
        match kind {
            1 => output.extend(data),
            2 => error_output.extend(data),
            3 => break,
            other => panic!("{other}"),
        }
    }
    assert!(output.starts_with(&vec![b'x'; BYTES]) && output.len() < BYTES + 100);
    assert_eq!(error_output, b"err");
    let exit: banger_exit =
        answer(|out, error| unsafe { banger_exec_exit(session.get(), out, EXIT, error) }).unwrap();
    assert_eq!(exit.status, 3);
    assert_eq!(session.next(BANGER_FOREVER).unwrap().0, banger_exec_kind::BANGER_EXEC_ENDED as u32);
    // Nothing reaches what may already be another program, and the input outlives its session.
    let input = writer.join().unwrap();
    assert_eq!(input.write(b"more").unwrap_err().code, 904);
    drop(session);
    let late = input.signal(9).unwrap_err();
    assert_eq!((late.code, late.kind), (904, banger_failure_kind::BANGER_KIND_GUEST as c_int), "{late:?}");
}

#[test]
fn an_address_that_is_none_is_refused() {
    for (address, code) in [(c"vsock:x", 900), (c"", 900), (c"tcp:example.org:1", 900), (c"\xff", 511)] {
        let guest = answer(|out, error| unsafe { banger_guest_new(address.as_ptr(), null(), out, error) });
        assert_eq!(guest.unwrap_err().code, code, "{address:?}");
    }
}
