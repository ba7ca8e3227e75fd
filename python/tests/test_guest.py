"""Talking to a guest."""

from __future__ import annotations

import io
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent import Agent

import banger


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    (tmp_path / "root").mkdir()
    made = Agent(tmp_path / "agent.sock", tmp_path / "root")
    yield made
    made.close()


@pytest.fixture
def guest(agent: Agent) -> Iterator[banger.Guest]:
    with banger.Guest(agent.address) as made:
        yield made


def test_questions_and_answers(guest: banger.Guest, agent: Agent) -> None:
    assert guest.health()["agent_version"] == "0.0.1"
    assert guest.wait_ready(5)["protocol"] == 1
    assert guest.grow()["after_bytes"] == 2
    network = banger.NetworkConfig(["10.0.0.2/24"], gateways=["10.0.0.1"], dns=["9.9.9.9"], hostname="vm1")
    assert guest.set_network(network, persist=True) == "eth0"
    sent = agent.seen[-1]["args"]
    assert sent["persist"] is True
    assert sent["network"]["addresses"] == ["10.0.0.2/24"]
    assert sent["network"]["hostname"] == "vm1"
    guest.shutdown(reboot=True)
    assert agent.seen[-1]["args"] == {"action": "reboot"}


def test_copies(guest: banger.Guest, agent: Agent, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "source").write_bytes(content)
    assert guest.copy_in(tmp_path / "source", "/a", mode=0o600, uid=7) == len(content)
    assert (agent.root / "a").read_bytes() == content
    assert agent.seen[-1]["args"]["mode"] == 0o600
    assert guest.copy_in(b"bytes", "/b") == 5
    with (tmp_path / "source").open("rb") as file:
        file.seek(299_990)
        assert guest.copy_in(file, "/rest") == 10
    assert guest.copy_out("/a", tmp_path / "target") == len(content)
    assert (tmp_path / "target").read_bytes() == content
    memory = io.BytesIO()
    assert guest.copy_out("/b", memory) == 5
    assert memory.getvalue() == b"bytes"
    with pytest.raises(FileNotFoundError):
        guest.copy_in(tmp_path / "nothing", "/c")
    with pytest.raises(banger.BangerError) as caught:
        guest.copy_out("/nothing", io.BytesIO())
    assert caught.value.code == 913


def test_a_program_to_its_end(guest: banger.Guest) -> None:
    done = guest.run(["sh", "-c", 'echo "$A"; echo error >&2; exit 3'], env={"A": "b c"})
    assert (done.stdout, done.stderr) == (b"b c\n", b"error\n")
    assert (done.status, done.signal, done.returncode) == (3, None, 3)
    killed = guest.run(["sh", "-c", "kill -9 $$"])
    assert (killed.status, killed.signal, killed.returncode) == (None, 9, -9)
    wrong: Any
    for wrong in ("sh", []):
        with pytest.raises((TypeError, banger.ArgumentError)):
            guest.run(wrong)
    with pytest.raises(TypeError, match="nonsense"):
        guest.run(["sh"], nonsense=1)  # type: ignore[call-arg]


def test_a_program_with_input(guest: banger.Guest) -> None:
    with guest.exec(["cat"], stdin=True) as program:
        assert program.pid > 0
        assert program.read(0) is None
        assert program.exit is None
        program.write(b"hello")
        assert select.select([program], [], [], 30)[0] == [program]
        assert program.read(30) == ("stdout", b"hello")
        program.close_input()
        assert list(program) == []
        assert program.exit == banger.Exit(0, None)
        assert program.wait().returncode == 0


def test_more_input_than_fits(guest: banger.Guest) -> None:
    content = os.urandom(1 << 20)
    with guest.exec(["cat"], stdin=True) as program:

        def write() -> None:
            program.write(content)
            program.close_input()

        writer = threading.Thread(target=write)
        writer.start()
        got = b"".join(data for stream, data in program if stream == "stdout")
        writer.join()
    assert got == content


def test_a_signal(guest: banger.Guest) -> None:
    with guest.exec(["sleep", "100"]) as program:
        program.signal(signal.SIGTERM)
        assert program.wait() == banger.Exit(None, signal.SIGTERM)


def test_a_wait_is_cancelled_while_the_guest_is_silent(guest: banger.Guest, agent: Agent) -> None:
    stop = banger.Cancellation()

    def cancel() -> None:
        agent.waiting.wait()
        stop.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    started = time.monotonic()
    with pytest.raises(banger.CancelledError):
        guest.wait(cancel=stop)
    # It takes 200 ms; the bound is for machines under load.
    assert time.monotonic() - started < 10
    thread.join()


def test_eight_threads_share_a_guest(guest: banger.Guest) -> None:
    answers: list[bytes] = []

    def work(number: int) -> None:
        for turn in range(5):
            answers.append(guest.run(["echo", f"{number}-{turn}"]).stdout)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"{number}-{turn}\n".encode() for number in range(8) for turn in range(5)}
    assert (set(answers), len(answers)) == (expected, 40)


def test_a_guest_that_is_not_there(tmp_path: Path) -> None:
    with banger.Guest(f"unix:{tmp_path}/nothing") as guest, pytest.raises(banger.GuestError) as caught:
        guest.wait_ready(0.3)
    assert caught.value.code == 901
    with pytest.raises(ValueError):
        banger.Guest("vsock:none")
