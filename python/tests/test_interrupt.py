"""Ctrl-C while a call waits, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import SilentServer

PULL = """
import banger, sys, threading
with banger.Store(sys.argv[1] + "/state", sys.argv[1] + "/cache") as store:
    try:
        store.pull(sys.argv[2], plain_http=True{options})
    except KeyboardInterrupt:
        print("interrupted", threading.active_count())
        raise
"""

ASYNCIO = """
import asyncio, banger, sys, threading
async def main():
    with banger.Store(sys.argv[1] + "/state", sys.argv[1] + "/cache") as store:
        await store.pull_async(sys.argv[2], plain_http=True)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", threading.active_count())
    raise
"""

GUEST = """
import banger, sys
guest = banger.Guest("tcp:" + sys.argv[2].partition("/")[0])
try:
    guest.wait()
except KeyboardInterrupt:
    print("interrupted", 1)
    raise
"""


@pytest.mark.parametrize(
    "program",
    [PULL.format(options=""), PULL.format(options=", progress=lambda event: None"), ASYNCIO, GUEST],
    ids=["pull", "pull with progress", "asyncio", "guest"],
)
def test_an_interrupt_ends_a_call_that_waits(
    program: str, tmp_path: Path, silent_server: SilentServer
) -> None:
    command = [sys.executable, "-c", program, str(tmp_path), f"127.0.0.1:{silent_server.port}/a"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert silent_server.accepted.wait(60)
    time.sleep(0.1)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    # It takes about 200 ms; the bound is for machines under load.
    assert time.monotonic() - sent < 10
    assert output == "interrupted 1\n"
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "ignored" not in errors
    assert process.returncode == -signal.SIGINT


def test_a_handler_runs_during_a_pull_and_the_pull_goes_on(
    tmp_path: Path, silent_server: SilentServer
) -> None:
    program = """
import banger, os, signal, sys
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
stop = banger.Cancellation()
idle = []
def progress(event):
    if event.kind == "idle":
        if not idle:
            os.kill(os.getpid(), signal.SIGUSR1)
        idle.append(event)
        if len(idle) == 3:
            stop.cancel()
store = banger.Store(sys.argv[1] + "/state", sys.argv[1] + "/cache")
try:
    store.pull(sys.argv[2], plain_http=True, progress=progress, cancel=stop)
except banger.CancelledError:
    print(len(seen), len(idle) >= 3)
"""
    command = [sys.executable, "-c", program, str(tmp_path), f"127.0.0.1:{silent_server.port}/a"]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert (output.stdout, output.stderr) == ("1 True\n", "")


def test_the_library_leaves_signals_and_output_alone(tmp_path: Path, layout: str) -> None:
    program = """
import banger, os, signal, sys
before = [signal.getsignal(n) for n in signal.valid_signals()]
mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
with banger.Store(sys.argv[1] + "/state", sys.argv[1] + "/cache") as store:
    store.pull(sys.argv[2], size_bytes=64 << 20).close()
assert before == [signal.getsignal(n) for n in signal.valid_signals()]
assert mask == signal.pthread_sigmask(signal.SIG_BLOCK, [])
"""
    command = [sys.executable, "-c", program, str(tmp_path), layout]
    output = subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert (output.stdout, output.stderr) == (b"", b"")
