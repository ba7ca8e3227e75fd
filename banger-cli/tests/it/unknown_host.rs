//! Names that no name server knows.

use std::fs;

use banger_testkit::{require, tools};

use crate::support::{Home, text};

/// A name server. Its answer to each question is: there is no such name.
const NAME_SERVER: &str = "
import os, socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', 53))
if os.fork():
    os._exit(0)
while True:
    query, sender = server.recvfrom(4096)
    end = query.index(0, 12) + 5
    server.sendto(query[:2] + b'\\x81\\x83\\0\\1' + b'\\0' * 6 + query[12:end], sender)
";

/// Pulls in a network of its own, where only this name server is.
const SCRIPT: &str = r#"
ip link set lo up
mount --bind "$1" /etc/resolv.conf
python3 -c "$2" >/dev/null 2>&1
"$3" image pull host.example/a:b --output "$4"
"#;

#[test]
fn a_name_that_is_not_known_is_looked_up_twice() {
    require!(tools::root("a network of its own"));
    require!(tools::command("ip"));
    require!(tools::command("python3"));
    let home = Home::new();
    let servers = home.path("resolv.conf");
    fs::write(&servers, "nameserver 127.0.0.1\n").unwrap();
    let mut command = require!(tools::command("unshare"));
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", SCRIPT, "sh"]);
    command.arg(&servers).args([NAME_SERVER, env!("CARGO_BIN_EXE_banger")]).arg(home.path("x.ext4"));
    home.environment(&mut command);
    let output = command.output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("its name is not known: check the spelling"), "{stderr}");
    assert!(stderr.contains("attempt 2") && !stderr.contains("attempt 3"), "{stderr}");
    assert_eq!(home.leftovers(), [""; 0]);
}
