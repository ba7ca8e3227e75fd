//! Configuration files and the kernel command line.

use banger_guest::config::{
    BootContract, Entrypoint, FirstBootMarker, GuestConfig, GuestConfigError, InitMode, InterfaceAddress,
    KernelCommandLine, ListenAddress, NetworkConfig, NetworkConfigError,
};
use banger_testkit::property_config;
use proptest::prelude::*;

fn network(
    interface: &str,
    addresses: &[&str],
    gateways: &[&str],
    dns: &[&str],
    hostname: &str,
) -> NetworkConfig {
    let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    NetworkConfig::default()
        .with_interface(name(interface))
        .with_addresses(addresses.iter().map(|address| address.parse().unwrap()).collect())
        .with_gateways(gateways.iter().map(|address| address.parse().unwrap()).collect())
        .with_dns(dns.iter().map(|address| address.parse().unwrap()).collect())
        .with_hostname(name(hostname))
}

#[test]
fn network_files() {
    let cases = [
        ("", NetworkConfig::default()),
        ("# nothing\n\n   \n", NetworkConfig::default()),
        (
            "interface=eth0\naddress=10.0.2.15/24\ngateway=10.0.2.2\ndns=10.0.2.3\nhostname=vm-1\n",
            network("eth0", &["10.0.2.15/24"], &["10.0.2.2"], &["10.0.2.3"], "vm-1"),
        ),
        (
            " Interface = \"eth0\"\r\naddress='10.0.2.15/24, fd00::15/64'\r\nGATEWAY=10.0.2.2 fe80::1\r\n",
            network("eth0", &["10.0.2.15/24", "fd00::15/64"], &["10.0.2.2", "fe80::1"], &[], ""),
        ),
        (
            "address=10.0.0.1/8\naddress=10.0.0.2/8\naddress=10.0.0.1/8\ndns=::1\ndns=::1",
            network("", &["10.0.0.1/8", "10.0.0.2/8"], &[], &["::1"], ""),
        ),
        ("interface=\nhostname=\naddress=\ngateway=\ndns=\n", NetworkConfig::default()),
        ("gateway=10.0.0.1\ngateway=10.0.0.1\n", network("", &[], &["10.0.0.1"], &[], "")),
    ];
    for (text, expected) in cases {
        let file = NetworkConfig::parse_file(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(file.config, expected, "{text:?}");
        assert!(file.unknown_keys.is_empty(), "{text:?}");
        file.config.check().unwrap();
        let again = NetworkConfig::parse_file(&file.config.to_file()).unwrap();
        assert_eq!(again.config, expected, "written and read again: {text:?}");
    }
    let file = NetworkConfig::parse_file("mtu=1500\ndns=::1").unwrap();
    assert_eq!(file.unknown_keys, ["mtu"]);
    assert_eq!(file.config, network("", &[], &[], &["::1"], ""));
}

#[test]
fn network_files_that_are_wrong() {
    for text in [
        "eth0",
        "address=10.0.0.1",
        "address=10.0.0.1/33",
        "address=10.0.0.1/+8",
        "address=::1/129",
        "address=x/8",
        "gateway=10.0.0.1/8",
        "gateway=10.0.0.1 10.0.0.2",
        "gateway=::1\ngateway=::2",
        "dns=resolver.example",
        "interface=a/b",
        "interface=..",
        "interface=eth0 eth1",
        "interface=longer-than-fifteen",
        "hostname=a b",
        "hostname=-x",
        "hostname=..",
    ] {
        assert!(NetworkConfig::parse_file(text).is_err(), "{text:?}");
    }
    assert_eq!(NetworkConfig::parse_file("\n\neth0").unwrap_err(), NetworkConfigError::Line { line: 3 });
    let wrong = NetworkConfig::default().with_interface(Some("../../x".into()));
    assert!(wrong.check().is_err());
}

#[test]
fn kernel_command_lines() {
    let none = NetworkConfig::default();
    let cases = [
        ("root=/dev/vda ro quiet", None),
        ("ip=dhcp", None),
        ("ip=off", None),
        ("ip=10.0.0.2", Some(network("", &["10.0.0.2/8"], &[], &[], ""))),
        (
            "ip=172.16.0.2::172.16.0.1:255.255.255.252:vm:eth0:off:1.1.1.1:::",
            Some(network("eth0", &["172.16.0.2/30"], &["172.16.0.1"], &["1.1.1.1"], "vm")),
        ),
        ("ip=192.168.1.5:::24::eth1:none", Some(network("eth1", &["192.168.1.5/24"], &[], &[], ""))),
        ("ip=:::::eth0:dhcp", Some(network("eth0", &[], &[], &[], ""))),
        ("ip=eth0:dhcp", Some(network("eth0", &[], &[], &[], ""))),
        (
            "ip=[fd00::2]::[fd00::1]:64:vm:eth0:off",
            Some(network("eth0", &["fd00::2/64"], &["fd00::1"], &[], "vm")),
        ),
        (
            "banger.net.interface=ens3 banger.net.address=10.0.0.2/24,fd00::2/64 banger.net.gateway=10.0.0.1 \
             banger.net.dns=10.0.0.1,::1 banger.hostname=h",
            Some(network("ens3", &["10.0.0.2/24", "fd00::2/64"], &["10.0.0.1"], &["10.0.0.1", "::1"], "h")),
        ),
        (
            "ip=10.0.0.2::10.0.0.1:255.0.0.0::eth0:off banger.net.address=10.9.0.2/16 banger.net.gateway=10.9.0.1",
            Some(network("eth0", &["10.9.0.2/16"], &["10.9.0.1"], &[], "")),
        ),
        ("banger.hostname=\"quoted\" -- ip=10.0.0.2", Some(network("", &[], &[], &[], "quoted"))),
    ];
    for (line, expected) in cases {
        let parsed = NetworkConfig::from_command_line(&KernelCommandLine::parse(line));
        assert_eq!(parsed.unwrap_or_else(|error| panic!("{line}: {error}")), expected, "{line}");
    }
    for line in [
        "ip=10.0.0.2:::255.0.255.0::eth0:off",
        "ip=10.0.0.2:::33::eth0:off",
        "ip=x::10.0.0.1:24",
        "banger.net.address=10.0.0.2",
        "banger.hostname=a/b",
    ] {
        assert!(NetworkConfig::from_command_line(&KernelCommandLine::parse(line)).is_err(), "{line}");
    }
    let under = network("eth0", &["10.0.0.1/8"], &[], &["::1"], "file");
    let over = network("", &["10.0.0.9/8"], &[], &[], "line");
    assert_eq!(under.overridden_by(over), network("eth0", &["10.0.0.9/8"], &[], &["::1"], "line"));
    assert!(none.has_no_addresses());
}

#[test]
fn listen_addresses() {
    let line = KernelCommandLine::parse("quiet");
    assert_eq!(ListenAddress::from_command_line(&line).unwrap(), [ListenAddress::Vsock(5000)]);
    let all = ["vsock:7", "tcp:127.0.0.1:80", "tcp:[::1]:80", "unix:/run/a", "serial:/dev/virtio-ports/b"];
    let line = KernelCommandLine::parse(&format!(
        "banger.agent={} banger.agent={}",
        all[..2].join(","),
        all[2..].join(",")
    ));
    let parsed = ListenAddress::from_command_line(&line).unwrap();
    assert_eq!(parsed.iter().map(ToString::to_string).collect::<Vec<_>>(), all);
    for wrong in [
        "",
        "vsock",
        "vsock:",
        "vsock:-1",
        "tcp:80",
        "tcp:localhost:80",
        "unix:relative",
        "http://x",
        "serial:",
    ] {
        assert!(wrong.parse::<ListenAddress>().is_err(), "{wrong:?}");
    }
}

#[test]
fn guest_configurations() {
    let mut config = GuestConfig::new(BootContract::Banger);
    config.init = InitMode::Install;
    config.handover = Some("/lib/systemd/systemd".into());
    config.entrypoint = Some(
        Entrypoint::default()
            .with_argv(vec!["/app".into()])
            .with_env(vec!["A=b".into()])
            .with_user(Some("app:1000".into()))
            .with_working_dir(Some("/srv".into())),
    );
    assert_eq!(GuestConfig::from_json(&config.to_json()).unwrap(), config);
    let small = GuestConfig::from_json(br#"{"version":1,"contract":"systemd","later":[1]}"#).unwrap();
    assert_eq!(small, GuestConfig::new(BootContract::Systemd));
    let newer = GuestConfig::from_json(br#"{"version":2,"contract":"systemd"}"#);
    assert!(matches!(newer, Err(GuestConfigError::Version { found: 2 })));
    for wrong in ["", "{}", r#"{"version":1,"contract":"launchd"}"#] {
        assert!(
            matches!(GuestConfig::from_json(wrong.as_bytes()), Err(GuestConfigError::Json(_))),
            "{wrong}"
        );
    }
}

#[test]
fn markers() {
    let marker =
        FirstBootMarker { attempt: 3, stage: Some("keys".into()), last_error: Some("no network".into()) };
    assert_eq!(FirstBootMarker::from_json(&marker.to_json()), marker);
    for torn in ["", "{", "null", "\0\0\0\0", "{}"] {
        assert_eq!(FirstBootMarker::from_json(torn.as_bytes()), FirstBootMarker::default(), "{torn:?}");
    }
}

proptest! {
    #![proptest_config(property_config(256))]

    #[test]
    fn no_text_makes_a_parser_panic(text in "[ -~\n]{0,120}", ip in "[0-9a-f:./\\[\\]]{0,60}") {
        if let Ok(file) = NetworkConfig::parse_file(&text) {
            file.config.check().unwrap();
        }
        let _ = ListenAddress::from_command_line(&KernelCommandLine::parse(&text));
        if let Ok(Some(config)) = NetworkConfig::from_command_line(&KernelCommandLine::parse(&format!("ip={ip}"))) {
            config.check().unwrap();
        }
    }

    #[test]
    fn addresses_come_back(address in any::<std::net::IpAddr>(), prefix in any::<u8>()) {
        if let Some(address) = InterfaceAddress::new(address, prefix) {
            prop_assert_eq!(address.to_string().parse::<InterfaceAddress>().unwrap(), address);
        }
    }
}

#[test]
fn init_modes_have_names() {
    for mode in InitMode::ALL {
        assert_eq!(mode.to_string().parse(), Ok(mode));
        assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
    }
    let error = "systemd".parse::<InitMode>().unwrap_err();
    assert_eq!(error.to_string(), "`systemd` is not an init mode: choose auto, image, banger or install");
}
