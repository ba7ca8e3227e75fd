"""The library, and what every call of it does: convert, call, raise."""

from __future__ import annotations

import ctypes
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, Union

from . import _abi
from ._errors import error_of

HostPath = Union[str, "os.PathLike[str]"]
"""A path of the host."""

GuestPath = Union[str, bytes]
"""A path inside a file system: bytes, or text as `os.fsencode` turns it into bytes."""

H = TypeVar("H", bound="Handle")


def _candidates() -> list[str]:
    """Where the library may be, the best place first."""
    named = os.environ.get("BANGER_LIBRARY")
    if named:
        return [named]
    inside = Path(__file__).with_name("libbanger.so")
    return [str(inside)] if inside.exists() else ["libbanger.so.0"]


def _load() -> Any:
    failures = []
    for candidate in _candidates():
        try:
            library = ctypes.CDLL(candidate)
        except OSError as error:
            failures.append(str(error))
            continue
        for name, (result, arguments) in _abi.FUNCTIONS.items():
            try:
                function = getattr(library, name)
            except AttributeError:
                raise ImportError(f"{candidate} has no {name}: it is another version of libbanger") from None
            function.restype, function.argtypes = result, arguments
        major = library.banger_version_number() // 1_000_000
        if major != _abi.BANGER_VERSION_MAJOR:
            expected = _abi.BANGER_VERSION_MAJOR
            raise ImportError(f"{candidate} is version {major} of libbanger; this package needs {expected}")
        return library
    raise ImportError(f"cannot load libbanger: {'; '.join(failures)}")


library: Any = _load()


def raise_error(error: ctypes.c_void_p) -> None:
    """Raises what the library says in `error`, and frees it."""
    try:
        document = library.banger_error_json(error)
        transient = library.banger_error_is_transient(error)
        errno = library.banger_error_errno(error)
    finally:
        library.banger_error_free(error)
    raise error_of(document, is_transient=transient, errno=errno)


def call(name: str, *arguments: Any) -> None:
    """Calls a function that can fail, and raises where it does."""
    error = ctypes.c_void_p()
    if getattr(library, name)(*arguments, ctypes.byref(error)) != 0:
        raise_error(error)


def patient_call(cancel: Cancellation, name: str, *arguments: Any) -> None:
    """As `call`, for a call that may wait long. `cancel` is the flag among `arguments`: Ctrl-C sets it.

    Python runs its signal handlers on the main thread only, and not inside of a call of C. So another
    thread makes the call while the main thread waits.
    """
    if threading.current_thread() is not threading.main_thread():
        call(name, *arguments)
        return
    raised: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            call(name, *arguments)
        except BaseException as error:  # it is raised on the caller's thread
            raised.append(error)
        finally:
            done.set()

    threading.Thread(target=work, name=name, daemon=True).start()
    try:
        done.wait()
    except BaseException:
        cancel.cancel()
        done.wait()
        raise
    if raised:
        raise raised[0]


class Handle:
    """An object of the library. It is freed when it is closed and no call uses it any more."""

    _free = ""

    def __init__(self, pointer: ctypes.c_void_p) -> None:
        self._pointer: int | None = pointer.value
        self._lock = threading.Lock()
        self._users = 0
        self._is_closed = False
        self._process = os.getpid()

    @contextmanager
    def _use(self) -> Iterator[int]:
        """Lends the pointer to a call: it is not freed meanwhile."""
        with self._lock:
            if self._is_closed or self._pointer is None:
                raise ValueError(f"this {type(self).__name__} is closed")
            if self._process != os.getpid():
                raise RuntimeError(f"this {type(self).__name__} belongs to the process that forked this one")
            self._users += 1
            pointer = self._pointer
        try:
            yield pointer
        finally:
            with self._lock:
                self._users -= 1
                unused = self._take_unused()
            self._free_pointer(unused)

    def _take_unused(self) -> int | None:
        if not self._is_closed or self._users:
            return None
        pointer, self._pointer = self._pointer, None
        return pointer

    def _free_pointer(self, pointer: int | None) -> None:
        # A child has none of the threads that the library waits for: there the object is left to its end.
        if pointer is not None and self._process == os.getpid():
            getattr(library, self._free)(pointer)

    def close(self) -> None:
        """Frees the object. Closing it again does nothing; calls that run on other threads end first."""
        with self._lock:
            self._is_closed = True
            unused = self._take_unused()
        self._free_pointer(unused)

    def __enter__(self: H) -> H:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Without `__init__` there is nothing to free.
        if hasattr(self, "_lock"):
            self.close()


class Cancellation(Handle):
    """A flag that stops calls from any thread.

    Every call that got the flag raises `CancelledError` within 200 ms after `cancel`.

    >>> import banger
    >>> stop = banger.Cancellation()
    >>> stop.cancel()
    >>> stop.is_cancelled
    True
    """

    _free = "banger_cancel_free"

    def __init__(self) -> None:
        super().__init__(ctypes.c_void_p(library.banger_cancel_new()))

    def cancel(self) -> None:
        """Sets the flag for good."""
        with self._use() as pointer:
            library.banger_cancel_cancel(pointer)

    @property
    def is_cancelled(self) -> bool:
        """Whether the flag is set."""
        with self._use() as pointer:
            return bool(library.banger_cancel_is_cancelled(pointer))


@contextmanager
def flag(cancel: Cancellation | None) -> Iterator[tuple[Cancellation, int]]:
    """Lends the flag of the caller to a call, or a flag of its own."""
    if cancel is None:
        with Cancellation() as own, own._use() as pointer:
            yield own, pointer
    else:
        with cancel._use() as pointer:
            yield cancel, pointer


def host_path(path: HostPath) -> bytes:
    """Returns a path of the host as the library takes it: UTF-8 without a NUL."""
    return text(os.fspath(path))


def text(value: str) -> bytes:
    """Returns a text as the library takes it."""
    made = value.encode("utf-8", "surrogateescape")
    if b"\0" in made:
        raise ValueError("embedded null character")
    return made


def guest_path(path: GuestPath) -> tuple[bytes, int]:
    """Returns a path inside a file system as the library takes it: bytes and their number."""
    made = os.fsencode(path)
    return made, len(made)


def taken_bytes(string: ctypes.c_void_p) -> bytes:
    """Returns the bytes of a `banger_string`, and frees it."""
    try:
        length = library.banger_string_length(string)
        return ctypes.string_at(library.banger_string_data(string), length)
    finally:
        library.banger_string_free(string)


def bytes_of(name: str, *arguments: Any) -> bytes:
    """Makes a call whose answer is a `banger_string`, and returns its bytes."""
    string = ctypes.c_void_p()
    call(name, *arguments, ctypes.byref(string))
    return taken_bytes(string)


def json_of(name: str, *arguments: Any) -> Any:
    """Makes a call whose answer is a JSON document, and returns it parsed."""
    return json.loads(bytes_of(name, *arguments))


def patient_bytes_of(cancel: Cancellation, name: str, *arguments: Any) -> bytes:
    """As `bytes_of`, for a call that Ctrl-C cancels."""
    string = ctypes.c_void_p()
    patient_call(cancel, name, *arguments, ctypes.byref(string))
    return taken_bytes(string)


def patient_json_of(cancel: Cancellation, name: str, *arguments: Any) -> Any:
    """As `json_of`, for a call that Ctrl-C cancels."""
    return json.loads(patient_bytes_of(cancel, name, *arguments))


def version() -> str:
    """Returns the version of the library, "0.1.0"."""
    return str(library.banger_version().decode())


def features() -> frozenset[str]:
    """Returns what the library was built with: `guest-amd64`, `guest-arm64`, `e2fsprogs`.

    >>> import banger
    >>> banger.features() <= {"guest-amd64", "guest-arm64", "e2fsprogs"}
    True
    """
    bits = library.banger_features()
    known = {
        "guest-amd64": _abi.BANGER_FEATURE_GUEST_AMD64,
        "guest-arm64": _abi.BANGER_FEATURE_GUEST_ARM64,
        "e2fsprogs": _abi.BANGER_FEATURE_E2FSPROGS,
    }
    return frozenset(name for name, bit in known.items() if bits & bit)
