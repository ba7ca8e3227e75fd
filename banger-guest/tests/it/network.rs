//! The network bootstrap in a network namespace of its own, looked at with `ip`.

use std::process::{Command, Output};

use banger_testkit::{Skip, require};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{BINARY, is_root, read};

/// Runs a script in new namespaces, where it is root over a network of its own and a hostname.
fn in_namespace(guest: &TempDir, script: &str) -> Result<Output, Skip> {
    if !is_root() {
        return Err(Skip::new("network namespaces need root"));
    }
    for tool in ["ip", "unshare"] {
        let found = Command::new("sh").arg("-c").arg(format!("command -v {tool}")).output().unwrap();
        if !found.status.success() {
            return Err(Skip::new(format!("no {tool}")));
        }
    }
    if !Command::new("unshare").args(["-n", "-u", "true"]).status().unwrap().success() {
        return Err(Skip::new("no namespaces here"));
    }
    let output = Command::new("unshare")
        .args(["-n", "-u", "sh", "-e", "-c", script])
        .env("NETWORK", format!("{BINARY} network --root {}", guest.path().display()))
        .output()
        .unwrap();
    Ok(output)
}

fn guest(network: &str) -> TempDir {
    let guest = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(guest.path().join("etc")).unwrap();
    if !network.is_empty() {
        std::fs::write(guest.path().join("etc/banger-network.conf"), network).unwrap();
    }
    guest
}

/// The lines of standard output that are JSON.
fn documents(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn addresses(interface: &Value) -> Vec<String> {
    let list = interface["addr_info"].as_array().unwrap();
    let global = list.iter().filter(|address| address["scope"] == "global");
    global.map(|address| format!("{}/{}", address["local"].as_str().unwrap(), address["prefixlen"])).collect()
}

/// A card called eth7; of a pair the other end gets the lower number, and is the first card.
const CARD: &str = "ip link add peer7 type veth peer name eth7\n";

#[test]
fn addresses_routes_and_names_are_as_configured() {
    let guest = guest(
        "interface=eth7\naddress=10.1.2.3/24,fd00:1::3/64\ngateway=10.1.2.1\ngateway=fd00:1::1\ndns=10.1.2.1\nhostname=vm-7\n",
    );
    // Twice: doing it again changes nothing.
    let script = format!(
        "{CARD}$NETWORK\n$NETWORK\nip -j addr show eth7\nip -j route\nip -6 -j route show default\nip -j link show lo\nhostname"
    );
    let output = require!(in_namespace(&guest, &script));
    let documents = documents(&output);
    let interface = &documents[0][0];
    assert_eq!(addresses(interface), ["10.1.2.3/24", "fd00:1::3/64"]);
    assert!(interface["flags"].as_array().unwrap().contains(&"UP".into()));
    assert_eq!(interface["addr_info"][0]["broadcast"], "10.1.2.255");
    let default: Vec<_> =
        documents[1].as_array().unwrap().iter().filter(|route| route["dst"] == "default").collect();
    assert_eq!(default.len(), 1);
    assert_eq!((&default[0]["gateway"], &default[0]["dev"]), (&"10.1.2.1".into(), &"eth7".into()));
    assert_eq!(documents[2].as_array().unwrap().len(), 1);
    assert_eq!(documents[2][0]["gateway"], "fd00:1::1");
    assert!(documents[3][0]["flags"].as_array().unwrap().contains(&"UP".into()), "lo is up");
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("vm-7\n"));
    assert!(read(&guest.path().join("etc/resolv.conf")).ends_with("nameserver 10.1.2.1\n"));
}

#[test]
fn another_configuration_takes_the_place_of_the_first() {
    let guest = guest("address=10.1.2.3/24\ngateway=10.1.2.1\n");
    let file = guest.path().join("etc/banger-network.conf");
    let script = format!(
        "{CARD}$NETWORK\nip addr add fd00::9/64 dev eth7\n\
         printf 'address=10.9.0.3/16\\ngateway=10.9.0.1\\n' >{}\n$NETWORK\nip -j addr show eth7\nip -j route",
        file.display()
    );
    let documents = documents(&require!(in_namespace(&guest, &script)));
    let left = addresses(&documents[0][0]);
    assert!(left.contains(&"10.9.0.3/16".to_owned()) && left.contains(&"fd00::9/64".to_owned()), "{left:?}");
    assert_eq!(left.len(), 2, "{left:?}");
    let routes = documents[1].as_array().unwrap();
    let default: Vec<_> = routes.iter().filter(|route| route["dst"] == "default").collect();
    assert_eq!(default.len(), 1, "{routes:?}");
    assert_eq!(default[0]["gateway"], "10.9.0.1");
}

#[test]
fn a_gateway_outside_of_every_network_is_reached_on_the_link() {
    let guest =
        guest("address=192.0.2.7/32\ngateway=198.51.100.1\naddress=2001:db8::7/128\ngateway=fe80::1\n");
    let script = format!("{CARD}$NETWORK\nip -j route show default\nip -6 -j route show default");
    let documents = documents(&require!(in_namespace(&guest, &script)));
    assert_eq!(documents[0][0]["gateway"], "198.51.100.1");
    assert_eq!(documents[0][0]["flags"][0], "onlink");
    assert_eq!(documents[1][0]["gateway"], "fe80::1");
}

#[test]
fn the_kernel_command_line_is_stronger_than_the_file() {
    let guest = guest("interface=eth9\naddress=10.1.2.3/24\ndns=10.0.0.9\n");
    std::fs::create_dir(guest.path().join("proc")).unwrap();
    let line =
        "root=/dev/vda ip=10.5.0.2::10.5.0.1:255.255.255.0:name:eth7:off banger.hostname=of-the-line\n";
    std::fs::write(guest.path().join("proc/cmdline"), line).unwrap();
    let script = format!("{CARD}$NETWORK\nip -j addr show eth7\nhostname");
    let output = require!(in_namespace(&guest, &script));
    assert_eq!(addresses(&documents(&output)[0][0]), ["10.5.0.2/24"]);
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("of-the-line\n"));
    assert!(read(&guest.path().join("etc/resolv.conf")).contains("10.0.0.9"));
}

#[test]
fn what_is_not_configured_is_left_alone() {
    for (network, setup) in [("", CARD), ("hostname=only\n", CARD), ("address=10.0.0.1/8\n", "")] {
        let guest = guest(network);
        let script = format!("{setup}$NETWORK\nip -j addr");
        let output = require!(in_namespace(&guest, &script));
        let documents = documents(&output);
        for interface in documents[0].as_array().unwrap() {
            let up = interface["flags"].as_array().unwrap().contains(&"UP".into());
            assert_eq!(up, interface["ifname"] == "lo", "{network:?}: {interface}");
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("interfaces are left to the image"), "{network:?}: {said}");
    }
}

#[test]
fn what_cannot_be_is_said() {
    let cases = [
        ("interface=eth8\naddress=10.0.0.1/8\n", "the guest has no interface eth8"),
        ("address=10.0.0.1\n", "`10.0.0.1` is not a valid address/prefix for address"),
        ("nonsense\n", "line 1 is not key=value"),
    ];
    for (network, said) in cases {
        let guest = guest(network);
        let output = require!(in_namespace(&guest, &format!("{CARD}$NETWORK")));
        assert_eq!(output.status.code(), Some(1), "{network:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(said), "{network:?}: {stderr}");
    }
}
