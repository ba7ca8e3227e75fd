"""Talking to the agent of the library, which runs on this machine in the place of one in a guest."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import banger

AGENT = "/usr/local/bin/banger-vsock-agent"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")


@pytest.fixture
def guest(disk: Path, tmp_path: Path) -> Iterator[banger.Guest]:
    if f"guest-{ARCHITECTURE}" not in banger.features():
        if os.environ.get("CI") == "true":
            pytest.fail("the library has no guest for this machine")
        pytest.skip("the library has no guest for this machine")
    with banger.Rootfs(disk, edit=True) as rootfs:
        rootfs.inject(init="banger", architecture=ARCHITECTURE)
        program = tmp_path / Path(AGENT).name
        program.write_bytes(rootfs.read(AGENT))
    program.chmod(0o755)
    address = f"unix:{tmp_path}/agent.sock"
    with subprocess.Popen([program, "--listen", address], stderr=subprocess.DEVNULL) as agent:
        try:
            with banger.Guest(address) as made:
                made.wait_ready(30)
                yield made
        finally:
            agent.kill()


def test_what_a_guest_tells_of_itself(guest: banger.Guest) -> None:
    info = guest.info()
    assert info["kernel"]["release"] == platform.release()
    assert info["kernel"]["machine"] == platform.machine()
    assert info["hostname"] == platform.node()
    assert info["uptime_ms"] > 0


def test_a_terminal_has_a_size_that_changes(guest: banger.Guest) -> None:
    script = "trap 'stty size; exit 7' WINCH; test -t 0 && stty size; while :; do sleep 0.05; done"
    output = b""
    with guest.exec(["/bin/sh", "-c", script], rows=33, columns=77) as program:
        for stream, data in program:
            assert stream == "stdout"
            before, output = b"33 77\r\n" in output, output + data
            if not before and b"33 77\r\n" in output:
                program.resize(44, 88)
        assert program.exit == banger.Exit(7, None)
    assert b"44 88\r\n" in output


def test_a_terminal_takes_what_is_typed_and_its_end(guest: banger.Guest) -> None:
    with guest.exec(["/bin/cat"], rows=5, columns=50) as program:
        program.write(b"typed\n")
        program.close_input()
        output = b"".join(data for _, data in program)
        assert program.wait().returncode == 0
    # Once as an echo of the terminal, and once by cat.
    assert output.count(b"typed\r\n") == 2
    done = guest.run(["/bin/stty", "size"], rows=20, columns=30)
    assert (done.stdout, done.stderr, done.returncode) == (b"20 30\r\n", b"", 0)


def test_a_terminal_needs_both_of_its_sizes(guest: banger.Guest) -> None:
    with pytest.raises(banger.ArgumentError):
        guest.exec(["/bin/cat"], rows=5)
