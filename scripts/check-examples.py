"""Runs the program of examples/ in several languages, and fails where they differ.

usage: check-examples.py REFERENCE DIRECTORY NAME=COMMAND...
"""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

REST = ["vm1", "ssh-ed25519 AAAA user", "10.0.0.2/24", "10.0.0.1", "/bin/app", "--flag"]
# It takes about 200 ms; the bound is for machines under load.
LONGEST_S = 20


class Program:
    """The program in one language, with directories of its own."""

    def __init__(self, name: str, command: str, directory: Path) -> None:
        self.name = name
        self.command = command.split(" ")
        self.place = directory / f"work-{name}"
        self.place.mkdir()
        self.environment = {
            **os.environ,
            "XDG_STATE_HOME": str(self.place / "state"),
            "XDG_CACHE_HOME": str(self.place / "cache"),
            "SOURCE_DATE_EPOCH": "1700000000",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(self, arguments: list[str], **streams: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command + arguments, cwd=self.place, env=self.environment, **streams)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, errors = process.communicate(timeout=120)
        return process.returncode, output.decode(), errors.decode()

    def on_terminal(self, *arguments: str) -> str:
        """Returns what goes to a terminal as standard error."""
        reader, writer = pty.openpty()
        process = self.start(list(arguments), stdout=subprocess.DEVNULL, stderr=writer)
        os.close(writer)
        shown = b""
        try:
            while part := os.read(reader, 4096):
                shown += part
        except OSError:
            # Linux says so at the end of a terminal.
            pass
        os.close(reader)
        assert process.wait(timeout=120) == 0, shown
        return shown.decode()

    def image(self, name: str) -> str:
        return hashlib.sha256((self.place / name).read_bytes()).hexdigest()


def without_chance(output: str) -> str:
    """Returns the record without what differs from pull to pull."""
    return re.sub(r'"(id|created)":"[^"]*"', r'"\1":"…"', output)


def same(what: str, programs: list[Program], result: Callable[[Program], Any]) -> Any:
    """Checks that all programs have the same result, and returns it."""
    results = {program.name: result(program) for program in programs}
    first, *others = results.items()
    for other in others:
        assert other[1] == first[1], f"{what}\n{first}\n{other}"
    print(f"ok: {what}: {', '.join(results)}")
    return first[1]


def interrupted(program: Program) -> tuple[int, bytes, bytes, list[str]]:
    """Sends Ctrl-C to a pull from a server that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted = threading.Event()
        kept = []

        def serve() -> None:
            kept.append(listener.accept()[0])
            accepted.set()

        threading.Thread(target=serve, daemon=True).start()
        reference = f"127.0.0.1:{listener.getsockname()[1]}/image:tag"
        process = program.start(
            [reference, "stopped.ext4", *REST], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert accepted.wait(60), f"{program.name} does not connect"
        time.sleep(0.2)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        took = time.monotonic() - sent
        assert took < LONGEST_S, f"{program.name} went on for {took:.1f} s"
        print(f"   {program.name} ended {took * 1000:.0f} ms after Ctrl-C")
        for connection in kept:
            connection.close()
    left = sorted(str(path.relative_to(program.place)) for path in program.place.glob("**/*stopped*"))
    return process.returncode, output, errors, left


def main(reference: str, directory: str, *commands: str) -> None:
    programs = [Program(*command.split("=", 1), Path(directory)) for command in commands]

    status, output, errors = same(
        "record",
        programs,
        lambda program: (lambda done: (done[0], without_chance(done[1]), done[2]))(
            program.run(reference, "vm1.ext4", *REST)
        ),
    )
    assert (status, errors) == (0, ""), (status, errors)
    assert json.loads(output)["digest"].startswith("sha256:"), output
    assert output.count("\n") == 1 and "…" in output, output
    same("bytes of the disk", programs, lambda program: program.image("vm1.ext4"))

    shown = same(
        "end of the progress bar",
        programs,
        lambda program: program.on_terminal(reference, "bar.ext4", *REST).split("\r")[-2:],
    )
    assert shown == [f"[{'#' * 40}] 100 %", "\n"], shown

    status, output, errors = same(
        "file that exists", programs, lambda program: program.run(reference, "vm1.ext4", *REST)
    )
    assert (status, output) == (1, "") and errors.startswith("error 503: vm1.ext4 exists"), errors
    same("disk is as it was", programs, lambda program: program.image("vm1.ext4"))

    status, output, errors = same(
        "image that is not there", programs, lambda program: program.run("oci:/nowhere", "none.ext4", *REST)
    )
    assert (status, output) == (1, "") and errors.startswith("error 117: "), errors
    status, _, errors = same("usage", programs, lambda program: program.run("one"))
    assert status == 2 and errors.startswith("usage: pull REFERENCE"), errors

    assert same("Ctrl-C", programs, interrupted) == (130, b"", b"", [])


if __name__ == "__main__":
    main(*sys.argv[1:])
