//! The agent and peers that mean it ill, or are broken.

use std::time::{Duration, Instant};

use banger_guest::protocol::{
    Accepted, CopyIn, ErrorCode, FrameKind, HEADER_BYTES, MAX_PAYLOAD_BYTES, Message, Operation, Outcome,
};

use crate::support::{Agent, assert_code, is_alive, sh, wait_until};

/// What the agent may take, in KiB: its own few megabytes, and a quarter of one for each connection.
const MEMORY_LIMIT_KIB: u64 = 32 * 1024;

#[test]
fn malformed_frames_end_the_connection_and_nothing_else() {
    let agent = Agent::start();
    let mut oversize_request = b"BG\x01\x01\0\0\x02\x00".to_vec();
    oversize_request.extend(vec![b' '; MAX_PAYLOAD_BYTES as usize]);
    let nested = [b"[".repeat(60_000), b"]".repeat(60_000)].concat();
    let mut nested_request = b"BG\x01\x01".to_vec();
    nested_request.extend((nested.len() as u32).to_le_bytes());
    nested_request.extend(nested);
    let cases: [(&str, &[u8]); 11] = [
        ("another protocol", b"GET / HTTP/1.1\r\nHost: guest\r\n\r\n"),
        ("zeros", &[0; 64]),
        ("a later version", b"BG\x02\x01\0\0\0\0"),
        ("an unknown kind", b"BG\x01\x63\0\0\0\0"),
        ("a length of 4 GiB", b"BG\x01\x01\xff\xff\xff\xff"),
        ("a length of 2 GiB as input", b"BG\x01\x05\xff\xff\xff\x7f"),
        ("no JSON", b"BG\x01\x01\x03\0\0\0abc"),
        ("no request", b"BG\x01\x01\x02\0\0\0{}"),
        ("a frame that only the agent sends", b"BG\x01\x02\x02\0\0\0{}"),
        ("blanks as long as allowed", &oversize_request),
        ("depth", &nested_request),
    ];
    for (what, bytes) in cases {
        let mut client = agent.connect();
        client.raw(bytes);
        let failure = client.last_words().unwrap_or_else(|| panic!("{what}: closed without a word"));
        assert_eq!(failure.code, ErrorCode::Malformed, "{what}: {}", failure.message);
        agent.assert_up();
    }
    for cut in 0..HEADER_BYTES {
        let mut client = agent.connect();
        client.raw(&b"BG\x01\x01\x02\0\0\0{}"[..cut]);
    }
    agent.assert_up();
    assert!(agent.status("VmHWM") < MEMORY_LIMIT_KIB, "{} KiB", agent.status("VmHWM"));
}

#[test]
fn frames_that_have_no_place_in_an_operation_end_it() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let ran = client.begin(sh("sleep 100"));
    client.request(Operation::Health);
    assert_code(&client.last_words().unwrap(), ErrorCode::Malformed);
    wait_until("the program is gone", || !is_alive(ran.pid));

    let mut client = agent.connect();
    let ran = client.begin(sh("sleep 100").with_stdin(true));
    for _ in 0..40 {
        client.raw(&[b"BG\x01\x05\0\x80\0\0".as_slice(), &[0; 0x8000]].concat());
    }
    assert_code(&client.last_words().unwrap(), ErrorCode::Malformed);
    wait_until("the program is gone", || !is_alive(ran.pid));

    let directory = tempfile::tempdir().unwrap();
    let mut client = agent.connect();
    let path = directory.path().join("file").to_str().unwrap().to_owned();
    client.request(Operation::CopyIn(CopyIn::default().with_path(path)));
    assert_eq!(Accepted::from_frame(&client.frame()).unwrap(), Accepted::CopyIn);
    client.request(Operation::Health);
    assert_code(&client.last_words().unwrap(), ErrorCode::Malformed);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    agent.assert_up();
}

#[test]
fn a_thousand_connections_are_served_or_ended() {
    let agent = Agent::start();
    // All open at a time: the newest have a place, the idlest lose theirs.
    let mut clients: Vec<_> = (0..1000).map(|_| agent.connect()).collect();
    let mut newest = clients.pop().unwrap();
    assert!(matches!(newest.call(Operation::Health), Outcome::Health(_)));
    agent.assert_up();
    let threads = agent.status("Threads");
    assert!(threads <= 64 + 3, "{threads} threads");
    drop(clients);
    // And one after the other.
    for _ in 0..1000 {
        agent.assert_up();
    }
    assert!(agent.status("VmHWM") < MEMORY_LIMIT_KIB, "{} KiB", agent.status("VmHWM"));
}

#[test]
fn busy_connections_keep_their_places() {
    let agent = Agent::start();
    let mut busy: Vec<_> = (0..64).map(|_| agent.connect()).collect();
    let running: Vec<_> = busy.iter_mut().map(|client| client.begin(sh("sleep 100"))).collect();
    let failure = agent.connect().last_words().expect("it says why");
    assert_code(&failure, ErrorCode::Busy);
    assert!(running.iter().all(|ran| is_alive(ran.pid)));
    drop(busy);
    wait_until("all are gone", || running.iter().all(|ran| !is_alive(ran.pid)));
    agent.assert_up();
}

#[test]
fn peers_that_stall_cost_their_own_place_only() {
    let agent = Agent::start();
    // Those that begin a frame and do not go on, and those that take no output.
    let mut stalled: Vec<_> = (0..30).map(|_| agent.connect()).collect();
    for client in &mut stalled {
        client.raw(b"BG\x01\x01\xff\xff\0\0{");
    }
    let mut deaf: Vec<_> = (0..30).map(|_| agent.connect()).collect();
    for client in &mut deaf {
        client.request(Operation::Exec(sh("cat /dev/zero")));
    }
    let begun = Instant::now();
    for _ in 0..20 {
        agent.assert_up();
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    std::thread::sleep(Duration::from_millis(500));
    assert!(agent.status("VmHWM") < MEMORY_LIMIT_KIB, "{} KiB", agent.status("VmHWM"));
    // One that comes back to life gets what it asked for.
    let mut client = deaf.pop().unwrap();
    let frame =
        std::iter::repeat_with(|| client.frame()).find(|frame| frame.kind == FrameKind::Output).unwrap();
    assert!(frame.payload.iter().all(|byte| *byte == 0));
}
