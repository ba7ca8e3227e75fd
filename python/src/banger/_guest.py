"""What runs inside of a virtual machine."""

from __future__ import annotations

import ctypes
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from . import _abi
from ._files import readable_fd, writable_fd
from ._native import (
    Cancellation,
    Handle,
    HostPath,
    call,
    flag,
    library,
    patient_call,
    patient_json_of,
    taken_bytes,
    text,
)
from ._options import options_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._network import NetworkConfig
    from ._options import ExecOptions, GuestOptions

# The longest step: so long it takes until Ctrl-C is seen.
_STEP_MS = 200


@dataclass(frozen=True)
class Exit:
    """How a program of the guest ended."""

    status: int | None
    """The status, 0 to 255, if it exited."""
    signal: int | None
    """The number of the signal, if one killed it."""

    @property
    def returncode(self) -> int:
        """The status, or the signal as a negative number, as `subprocess` has it."""
        if self.signal is not None:
            return -self.signal
        return 255 if self.status is None else self.status


@dataclass(frozen=True)
class Completed(Exit):
    """A program of the guest that has ended, and its output."""

    stdout: bytes
    stderr: bytes


def _exit_of(found: Any) -> tuple[int | None, int | None]:
    return (
        found.status if found.kind == _abi.BANGER_EXIT_EXITED else None,
        found.signal if found.kind == _abi.BANGER_EXIT_KILLED else None,
    )


def _milliseconds(timeout: float | None) -> int:
    if timeout is None:
        return _abi.BANGER_FOREVER
    if not 0 <= timeout < 1 << 50:
        raise ValueError(f"timeout cannot be {timeout}")
    return int(timeout * 1000)


class Guest(Handle):
    """The agent of a guest. Threads may share it. Nothing is connected between two calls.

    `address` is "PATH" or "PATH:PORT", the Unix socket in which a VMM offers the guest's vsock, or
    "vsock:CID:PORT", "unix:PATH" or "tcp:ADDRESS:PORT".

    >>> import banger
    >>> with banger.Guest("unix:/nonexistent.sock") as guest:
    ...     try:
    ...         guest.health()
    ...     except banger.GuestError as error:
    ...         print(error.message)
    cannot connect to the guest at unix:/nonexistent.sock: No such file or directory (os error 2)
    """

    _free = "banger_guest_free"

    def __init__(self, address: HostPath, **options: Unpack[GuestOptions]) -> None:
        made = ctypes.c_void_p()
        with options_of(options) as given:
            call("banger_guest_new", text(os.fspath(address)), given, ctypes.byref(made))
        super().__init__(made)

    def _ask(self, name: str, *arguments: Any, cancel: Cancellation | None) -> dict[str, Any]:
        with self._use() as guest, flag(cancel) as (stop, pointer):
            made: dict[str, Any] = patient_json_of(stop, name, guest, *arguments, pointer)
        return made

    def health(self, *, cancel: Cancellation | None = None) -> dict[str, Any]:
        """Asks whether the agent is there: `agent_version`, `protocol` and `uptime_ms`."""
        return self._ask("banger_guest_health", cancel=cancel)

    def wait_ready(self, timeout: float, *, cancel: Cancellation | None = None) -> dict[str, Any]:
        """As `health`, again and again until the agent answers, for at most `timeout` seconds."""
        return self._ask("banger_guest_wait_ready", _milliseconds(timeout), cancel=cancel)

    def info(self, *, cancel: Cancellation | None = None) -> dict[str, Any]:
        """Returns what the guest is and how far it has come, as `banger guest info --json`."""
        return self._ask("banger_guest_info", cancel=cancel)

    def set_network(
        self, network: NetworkConfig, *, persist: bool = False, cancel: Cancellation | None = None
    ) -> str:
        """Configures the network, also for later boots where `persist` is set; returns the interface."""
        with options_of({**network._options(), "network_persist": persist}) as given:
            return str(self._ask("banger_guest_set_network", given, cancel=cancel)["interface"])

    def grow(self, *, cancel: Cancellation | None = None) -> dict[str, Any]:
        """Grows the root file system to the size of its block device: `before_bytes`, `after_bytes`."""
        return self._ask("banger_guest_grow", cancel=cancel)

    def shutdown(self, *, reboot: bool = False, cancel: Cancellation | None = None) -> None:
        """Powers the guest off, or reboots it."""
        with self._use() as guest, flag(cancel) as (stop, pointer):
            patient_call(stop, "banger_guest_shutdown", guest, reboot, pointer)

    def wait(self, timeout: float | None = None, *, cancel: Cancellation | None = None) -> Exit:
        """Waits until the program that banger-init runs has ended, for at most `timeout` seconds."""
        found = _abi.banger_exit()
        size = ctypes.sizeof(found)
        with self._use() as guest, flag(cancel) as (stop, pointer):
            arguments = (guest, _milliseconds(timeout), pointer, ctypes.byref(found), size)
            patient_call(stop, "banger_guest_wait", *arguments)
        return Exit(*_exit_of(found))

    def copy_in(
        self,
        source: HostPath | BinaryIO | bytes,
        path: str,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        parents: bool = False,
        cancel: Cancellation | None = None,
    ) -> int:
        """Writes the file `path` of the guest; returns the number of its bytes.

        The source is a file of the host, an open one from its position on, which may be a pipe, or bytes.
        Mode and owner are by default those of a file that is replaced, or 0644 of 0:0.
        """
        if isinstance(source, bytes):
            source = io.BytesIO(source)
        if isinstance(source, (str, os.PathLike)):
            with open(source, "rb") as file:
                return self.copy_in(file, path, mode=mode, uid=uid, gid=gid, parents=parents, cancel=cancel)
        copied = ctypes.c_uint64()
        values = {"copy_mode": mode, "copy_uid": uid, "copy_gid": gid, "copy_parents": parents or None}
        with self._use() as guest, options_of(values) as given, flag(cancel) as (stop, pointer):
            with readable_fd(source) as fd:
                arguments = (guest, text(path), fd, given, pointer, ctypes.byref(copied))
                patient_call(stop, "banger_guest_copy_in_fd", *arguments)
        return copied.value

    def copy_out(self, path: str, target: HostPath | BinaryIO, *, cancel: Cancellation | None = None) -> int:
        """Writes the bytes of the file `path` of the guest to a file; returns their number.

        The target is a file of the host, which is replaced, or an open one.
        """
        if isinstance(target, (str, os.PathLike)):
            with open(target, "wb") as file:
                return self.copy_out(path, file, cancel=cancel)
        with self._use() as guest, flag(cancel) as (stop, pointer), writable_fd(target) as fd:
            arguments = (guest, text(path), fd, pointer)
            return int(patient_json_of(stop, "banger_guest_copy_out_fd", *arguments)["bytes"])

    def run(
        self,
        argv: Sequence[str],
        *,
        cancel: Cancellation | None = None,
        **options: Unpack[ExecOptions],
    ) -> Completed:
        """Runs a program to its end, without input, and returns its output and how it ended.

        The output may have as many bytes as the option `max_output_bytes` of the guest says.
        """
        found = _abi.banger_exit()
        output, errors = ctypes.c_void_p(), ctypes.c_void_p()
        places = (ctypes.byref(output), ctypes.byref(errors), ctypes.byref(found), ctypes.sizeof(found))
        with self._use() as guest, flag(cancel) as (stop, pointer):
            with options_of(_exec_values(argv, options)) as given:
                patient_call(stop, "banger_guest_run", guest, given, pointer, *places)
        stdout, stderr = taken_bytes(output), taken_bytes(errors)
        return Completed(*_exit_of(found), stdout, stderr)

    def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        cancel: Cancellation | None = None,
        **options: Unpack[ExecOptions],
    ) -> Exec:
        """Starts a program. With `stdin=True` the caller writes its standard input.

        `cancel` ends all calls for the program and kills it, also later.
        """
        made = ctypes.c_void_p()
        values = {**_exec_values(argv, options), "exec_stdin": stdin}
        stop = cancel or Cancellation()
        with self._use() as guest, stop._use() as pointer, options_of(values) as given:
            patient_call(stop, "banger_exec_start", guest, given, pointer, ctypes.byref(made))
        return Exec(made, stop)


def _exec_values(argv: Sequence[str], options: ExecOptions) -> dict[str, Any]:
    if isinstance(argv, (str, bytes)):
        raise TypeError("argv is a list of texts, not a text")
    known = {"env", "clear_env", "user", "working_dir", "timeout_ms", "rows", "columns"}
    unknown = set(options) - known
    if unknown:
        raise TypeError(f"there is no option {sorted(unknown)[0]!r}")
    values: dict[str, Any] = {f"exec_{name}": value for name, value in options.items()}
    environment = options.get("env")
    if environment is not None:
        values["exec_env"] = [f"{name}={value}" for name, value in environment.items()]
    return {"exec_argv": list(argv), **values}


class _Input(Handle):
    """The input of a program."""

    _free = "banger_exec_input_free"


class Exec(Handle):
    """A program that runs in a guest. Closing it kills a program that still runs.

    Iterating gives what it writes, as pairs of "stdout" or "stderr" and bytes, until it ends:

        with guest.exec(["cat"], stdin=True) as program:
            program.write(b"hello")
            program.close_input()
            for stream, data in program:
                ...
            print(program.exit.returncode)

    One thread at a time reads it; the functions of its input may be called by others meanwhile.
    """

    _free = "banger_exec_free"

    def __init__(self, pointer: ctypes.c_void_p, stop: Cancellation) -> None:
        super().__init__(pointer)
        self._stop = stop
        self._exit: Exit | None = None
        made = ctypes.c_void_p()
        with self._use() as program:
            call("banger_exec_open_input", program, ctypes.byref(made))
        self._input = _Input(made)

    def close(self) -> None:
        """Ends the connection, which kills a program that still runs."""
        super().close()
        if hasattr(self, "_input"):
            self._input.close()

    @property
    def pid(self) -> int:
        """The process id in the guest."""
        with self._use() as program:
            return int(library.banger_exec_pid(program))

    def fileno(self) -> int:
        """A file descriptor that is readable when the program did something: for `select` and event loops."""
        with self._use() as program:
            return int(library.banger_exec_fd(program))

    def read(self, timeout: float | None = None) -> tuple[str, bytes] | None:
        """Returns what the program writes next; `None` after `timeout` seconds, and when it has ended.

        `exit` tells the two apart: it is `None` while the program runs.
        """
        rest_ms = _milliseconds(timeout)
        event = _abi.banger_exec_event()
        place, size = ctypes.byref(event), ctypes.sizeof(event)
        while True:
            step_ms = min(rest_ms, _STEP_MS)
            with self._use() as program:
                call("banger_exec_next", program, step_ms, place, size)
                if event.kind == _abi.BANGER_EXEC_ENDED:
                    self._exit = self._ended(program)
                    return None
                if event.kind in (_abi.BANGER_EXEC_OUTPUT, _abi.BANGER_EXEC_ERROR_OUTPUT):
                    stream = "stdout" if event.kind == _abi.BANGER_EXEC_OUTPUT else "stderr"
                    return stream, ctypes.string_at(event.data, event.length) if event.length else b""
            if rest_ms != _abi.BANGER_FOREVER:
                rest_ms -= step_ms
                if rest_ms <= 0:
                    return None

    def _ended(self, program: int) -> Exit:
        found = _abi.banger_exit()
        call("banger_exec_exit", program, ctypes.byref(found), ctypes.sizeof(found))
        return Exit(*_exit_of(found))

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        while (found := self.read()) is not None:
            yield found

    @property
    def exit(self) -> Exit | None:
        """How the program ended; `None` as long as nothing has read its end."""
        return self._exit

    def wait(self) -> Exit:
        """Waits for the end of the program, without the rest of its output."""
        while self._exit is None:
            self.read()
        return self._exit

    def write(self, data: bytes) -> None:
        """Writes to standard input or the terminal, all of it.

        It waits while the program takes nothing: then another thread has to read the program's output.
        """
        with self._input._use() as pointer:
            patient_call(self._stop, "banger_exec_input_write", pointer, data, len(data))

    def signal(self, number: int) -> None:
        """Sends a signal to the process group of the program."""
        with self._input._use() as pointer:
            call("banger_exec_input_signal", pointer, number)

    def resize(self, rows: int, columns: int) -> None:
        """Gives the terminal of the program another size."""
        with self._input._use() as pointer:
            call("banger_exec_input_resize", pointer, rows, columns)

    def close_input(self) -> None:
        """Ends the standard input; on a terminal it sends the end-of-file character."""
        with self._input._use() as pointer:
            call("banger_exec_input_close", pointer)
