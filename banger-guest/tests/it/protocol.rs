//! Frames and messages: what is written comes back, and what is no frame is refused.

use std::io::{self, Read};

use banger_guest::config::{BootContract, NetworkConfig};
use banger_guest::protocol::{
    Accepted, Addresses, Control, CopyIn, CopyOut, CopyTaken, CopyTarget, EntrypointState, ErrorCode, Exec,
    ExitStatus, FirstBoot, FirstBootState, Frame, FrameDecoder, FrameError, FrameHeader, FrameKind, Grown,
    HEADER_BYTES, Health, Info, KernelInfo, MAX_PAYLOAD_BYTES, Message, NetworkSet, Operation, OsInfo,
    Outcome, PROTOCOL_VERSION, ProtocolError, Pty, Refusal, Reply, Request, SetNetwork, Shutdown,
    ShutdownAction, Wait, read_frame, write_frame, write_message,
};
use banger_testkit::property_config;
use proptest::prelude::*;

fn header(bytes: [u8; HEADER_BYTES]) -> Result<FrameHeader, FrameError> {
    FrameHeader::decode(&bytes)
}

#[test]
fn header_bytes_are_as_documented() {
    let header = FrameHeader::new(FrameKind::Input, 0x0001_0203).unwrap();
    assert_eq!(header.encode(), [b'B', b'G', 1, 5, 0x03, 0x02, 0x01, 0x00]);
}

#[test]
fn what_is_no_frame_is_refused() {
    let credit = FrameKind::Credit;
    let cases: [([u8; 8], FrameError); 9] = [
        (*b"GET / HT", FrameError::Magic { found: *b"GE" }),
        ([0; 8], FrameError::Magic { found: [0, 0] }),
        (*b"BG\x00\x01\0\0\0\0", FrameError::Version { found: 0 }),
        (*b"BG\x02\x01\0\0\0\0", FrameError::Version { found: 2 }),
        (*b"BG\x01\x00\0\0\0\0", FrameError::Kind { found: 0 }),
        (*b"BG\x01\x0a\0\0\0\0", FrameError::Kind { found: 10 }),
        (*b"BG\x01\x01\x01\0\x02\0", FrameError::Oversize { length: MAX_PAYLOAD_BYTES + 1 }),
        (*b"BG\x01\x05\xff\xff\xff\xff", FrameError::Oversize { length: u32::MAX }),
        (*b"BG\x01\x09\x03\0\0\0", FrameError::Payload { kind: credit, length: 3 }),
    ];
    for (bytes, expected) in cases {
        assert_eq!(header(bytes), Err(expected), "{bytes:?}");
        let mut decoder = FrameDecoder::default();
        decoder.push(&bytes);
        assert_eq!(decoder.next_frame(), Err(expected), "{bytes:?}");
        assert_eq!(decoder.next_frame(), Err(expected), "an error stays: {bytes:?}");
        let error = read_frame(&mut bytes.as_slice()).expect_err("no frame");
        assert!(matches!(error, ProtocolError::Frame(found) if found == expected), "{bytes:?}: {error}");
    }
    assert_eq!(header(*b"BG\x01\x01\0\0\x02\0").unwrap().payload_bytes(), MAX_PAYLOAD_BYTES as usize);
}

/// Fails where more is asked for than the header.
struct HeaderOnly<'a>(&'a [u8]);

impl Read for HeaderOnly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(buffer.len() <= HEADER_BYTES, "a buffer of {} bytes for a refused frame", buffer.len());
        self.0.read(buffer)
    }
}

#[test]
fn what_is_shorter_than_a_header_is_known_by_its_beginning() {
    let mut decoder = FrameDecoder::default();
    decoder.push(b"n");
    assert_eq!(decoder.next_frame(), Ok(None));
    decoder.push(b"o");
    assert_eq!(decoder.next_frame(), Err(FrameError::Magic { found: *b"no" }));
}

#[test]
fn oversize_is_refused_before_the_payload_is_reserved() {
    let error = read_frame(&mut HeaderOnly(b"BG\x01\x05\xff\xff\xff\x7f")).expect_err("oversize");
    assert!(matches!(error, ProtocolError::Frame(FrameError::Oversize { .. })), "{error}");
}

#[test]
fn what_is_too_long_is_not_written() {
    let mut wire = Vec::new();
    let long = vec![0; MAX_PAYLOAD_BYTES as usize + 1];
    assert!(write_frame(&mut wire, FrameKind::Output, &long).is_err());
    assert!(write_frame(&mut wire, FrameKind::InputEnd, b"x").is_err());
    assert!(Frame::encode_into(FrameKind::Output, &long, &mut wire).is_err());
    assert!(wire.is_empty());
}

#[test]
fn the_end_of_a_stream_is_an_end_only_between_frames() {
    let mut wire = Vec::new();
    write_frame(&mut wire, FrameKind::Output, b"abc").unwrap();
    assert!(read_frame(&mut io::empty()).unwrap().is_none());
    for cut in 1..wire.len() {
        let error = read_frame(&mut &wire[..cut]).expect_err("cut");
        assert!(
            matches!(&error, ProtocolError::Io(io) if io.kind() == io::ErrorKind::UnexpectedEof),
            "{cut}: {error}"
        );
    }
}

fn every_operation() -> Vec<Operation> {
    let network = NetworkConfig::default()
        .with_interface(Some("eth0".into()))
        .with_addresses(vec!["10.0.2.15/24".parse().unwrap(), "fd00::2/64".parse().unwrap()])
        .with_gateways(vec!["10.0.2.2".parse().unwrap()])
        .with_dns(vec!["10.0.2.3".parse().unwrap()])
        .with_hostname(Some("guest".into()));
    vec![
        Operation::Health,
        Operation::Info,
        Operation::Exec(
            Exec::default()
                .with_argv(vec!["sh".into(), "-c".into(), "ä \0".into()])
                .with_env(vec![("A".into(), "b=c".into())])
                .with_clear_env(true)
                .with_user(Some("nobody".into()))
                .with_working_dir(Some("/tmp".into()))
                .with_stdin(true)
                .with_pty(Some(Pty::new(24, 80)))
                .with_timeout_ms(Some(u64::MAX)),
        ),
        Operation::CopyIn(
            CopyIn::default()
                .with_path("/etc/motd".into())
                .with_mode(Some(0o600))
                .with_uid(Some(1))
                .with_gid(Some(2))
                .with_parents(true)
                .with_size_bytes(Some(3)),
        ),
        Operation::CopyOut(CopyOut::new("/etc/motd")),
        Operation::SetNetwork(SetNetwork::new(network).with_persist(true)),
        Operation::Grow,
        Operation::Shutdown(Shutdown::new(ShutdownAction::Reboot)),
        Operation::Wait(Wait::default().with_timeout_ms(Some(1))),
    ]
}

fn info() -> Info {
    Info::default()
        .with_agent_version("0.1.0".into())
        .with_contract(Some(BootContract::Banger))
        .with_init("/usr/local/libexec/banger-init".into())
        .with_first_boot(
            FirstBoot::default()
                .with_state(FirstBootState::Failed)
                .with_attempt(2)
                .with_stage(Some("install".into()))
                .with_last_error(Some("no network".into()))
                .with_log_tail("a\nb\n".into()),
        )
        .with_kernel(
            KernelInfo::default()
                .with_release("6.1.0".into())
                .with_version("#1".into())
                .with_machine("x86_64".into())
                .with_command_line("quiet".into()),
        )
        .with_os(Some(
            OsInfo::default()
                .with_id("debian".into())
                .with_version_id(Some("12".into()))
                .with_pretty_name(None),
        ))
        .with_hostname("guest".into())
        .with_machine_id(Some("0".repeat(32)))
        .with_boot_id(None)
        .with_interfaces(vec![
            Addresses::default()
                .with_interface("lo".into())
                .with_mac(None)
                .with_up(true)
                .with_addresses(vec!["127.0.0.1/8".into()]),
        ])
        .with_entrypoint(Some(EntrypointState::Ended(ExitStatus::Killed { signal: 9 })))
        .with_uptime_ms(12)
}

fn every_outcome() -> Vec<Outcome> {
    vec![
        Outcome::Error(Refusal::new(ErrorCode::NotFound, "no such file")),
        Outcome::Health(
            Health::default().with_agent_version("0.1.0".into()).with_protocol(1).with_uptime_ms(5),
        ),
        Outcome::Info(Box::new(info())),
        Outcome::Exec(ExitStatus::Exited { status: 3 }),
        Outcome::CopyIn(CopyTaken::default().with_bytes(1)),
        Outcome::CopyOut(CopyTaken::default().with_bytes(u64::MAX)),
        Outcome::SetNetwork(NetworkSet::default().with_interface("eth0".into())),
        Outcome::Grow(Grown::default().with_before_bytes(1).with_after_bytes(2)),
        Outcome::Shutdown,
        Outcome::Wait(ExitStatus::Killed { signal: 15 }),
    ]
}

fn assert_round_trip<M: Message + PartialEq + std::fmt::Debug>(message: &M) {
    let mut wire = Vec::new();
    write_message(&mut wire, M::KIND, message).unwrap();
    let frame = read_frame(&mut wire.as_slice()).unwrap().unwrap();
    assert_eq!(&M::from_frame(&frame).unwrap(), message);
}

#[test]
fn every_message_comes_back() {
    for (id, operation) in (1..).zip(every_operation()) {
        assert_round_trip(&Request::new(id, operation));
    }
    for (id, outcome) in (u64::MAX - 20..).zip(every_outcome()) {
        assert_round_trip(&Reply::new(id, outcome));
    }
    let target = CopyTarget::default()
        .with_size_bytes(1)
        .with_mode(0o644)
        .with_uid(2)
        .with_gid(3)
        .with_mtime_seconds(-4);
    for accepted in [Accepted::Exec { pid: 7 }, Accepted::CopyIn, Accepted::CopyOut(target)] {
        assert_round_trip(&accepted);
    }
    for control in [Control::Signal { number: 15 }, Control::Resize(Pty::new(1, 2))] {
        assert_round_trip(&control);
    }
    for state in [EntrypointState::Starting, EntrypointState::Running { pid: 2 }, EntrypointState::Failed] {
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<EntrypointState>(&json).unwrap(), state);
    }
}

/// The examples of docs/guest-protocol.md: what other programs may have been written for.
#[test]
fn documented_messages_are_understood() {
    let operations = [
        (r#"{"id":1,"op":"health"}"#, Operation::Health),
        (r#"{"id":1,"op":"grow"}"#, Operation::Grow),
        (r#"{"id":1,"op":"wait","args":{}}"#, Operation::Wait(Wait::default())),
        (
            r#"{"id":1,"op":"exec","args":{"argv":["uname","-r"]}}"#,
            Operation::Exec(Exec::default().with_argv(vec!["uname".into(), "-r".into()])),
        ),
        (
            r#"{"id":1,"op":"copy_in","args":{"path":"/etc/motd","mode":420,"added":"later"}}"#,
            Operation::CopyIn(CopyIn::default().with_path("/etc/motd".into()).with_mode(Some(0o644))),
        ),
        (
            r#"{"id":1,"op":"shutdown","args":{"action":"power_off"}}"#,
            Operation::Shutdown(Shutdown::new(ShutdownAction::PowerOff)),
        ),
        (
            r#"{"id":1,"op":"set_network","args":{"network":{"addresses":["10.0.0.2/24"]}}}"#,
            Operation::SetNetwork(
                SetNetwork::new(
                    NetworkConfig::default().with_addresses(vec!["10.0.0.2/24".parse().unwrap()]),
                )
                .with_persist(false),
            ),
        ),
    ];
    for (json, operation) in operations {
        let frame = Frame { kind: FrameKind::Request, payload: json.into() };
        assert_eq!(Request::from_frame(&frame).unwrap(), Request::new(1, operation), "{json}");
    }
    let reply = Reply::new(7, Outcome::Exec(ExitStatus::Exited { status: 0 }));
    let json = r#"{"id":7,"result":"exec","value":{"how":"exited","status":0}}"#;
    assert_eq!(serde_json::to_string(&reply).unwrap(), json);
    let reply: Reply =
        serde_json::from_str(r#"{"id":0,"result":"error","value":{"code":"of_2031","message":"m"}}"#)
            .unwrap();
    assert!(matches!(reply.outcome, Outcome::Error(Refusal { code: ErrorCode::Unknown, .. })));
}

#[test]
fn messages_in_the_wrong_frame_or_form_are_errors() {
    let cases: [(FrameKind, &[u8]); 6] = [
        (FrameKind::Reply, br#"{"id":1,"op":"health"}"#),
        (FrameKind::Request, b""),
        (FrameKind::Request, b"\xff\xfe"),
        (FrameKind::Request, br#"{"op":"health"}"#),
        (FrameKind::Request, br#"{"id":1,"op":"dance"}"#),
        (FrameKind::Request, br#"{"id":-1,"op":"health"}"#),
    ];
    for (kind, payload) in cases {
        let frame = Frame { kind, payload: payload.into() };
        assert!(Request::from_frame(&frame).is_err(), "{kind:?} {payload:?}");
    }
    let nested = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    assert!(Request::from_frame(&Frame { kind: FrameKind::Request, payload: nested }).is_err());
}

#[test]
fn credit_is_four_bytes() {
    let frame = Frame { kind: FrameKind::Credit, payload: 70_000_u32.to_le_bytes().into() };
    assert_eq!(frame.credit(), Some(70_000));
    assert_eq!(Frame { kind: FrameKind::Input, ..frame }.credit(), None);
    const { assert!(PROTOCOL_VERSION == 1) };
}

fn frames() -> impl Strategy<Value = Vec<(FrameKind, Vec<u8>)>> {
    let frame = (prop::sample::select(FrameKind::ALL.as_slice()), prop::collection::vec(any::<u8>(), 0..300))
        .prop_map(|(kind, mut payload)| {
            match kind {
                FrameKind::InputEnd => payload.clear(),
                FrameKind::Credit => payload.resize(4, 0),
                _ => {}
            }
            (kind, payload)
        });
    prop::collection::vec(frame, 0..8)
}

proptest! {
    #![proptest_config(property_config(256))]

    #[test]
    fn frames_come_back_however_they_are_cut(frames in frames(), cuts in prop::collection::vec(1_usize..64, 1..64)) {
        let mut wire = Vec::new();
        for (kind, payload) in &frames {
            Frame::encode_into(*kind, payload, &mut wire).unwrap();
        }
        let mut decoder = FrameDecoder::default();
        let mut decoded = Vec::new();
        let mut rest = wire.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at((*cut).min(rest.len()));
            decoder.push(piece);
            rest = later;
            while let Some(frame) = decoder.next_frame().unwrap() {
                decoded.push((frame.kind, frame.payload));
            }
        }
        prop_assert!(!decoder.is_within_frame());
        prop_assert_eq!(&decoded, &frames);

        let mut stream = wire.as_slice();
        let mut read = Vec::new();
        while let Some(frame) = read_frame(&mut stream).unwrap() {
            read.push((frame.kind, frame.payload));
        }
        prop_assert_eq!(&read, &frames);
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..600), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 3 {
            bytes[..3].copy_from_slice(b"BG\x01");
        }
        let mut decoder = FrameDecoder::default();
        decoder.push(&bytes);
        while let Ok(Some(frame)) = decoder.next_frame() {
            prop_assert!(frame.payload.len() <= bytes.len());
            let _ = Request::from_frame(&frame);
        }
    }
}
