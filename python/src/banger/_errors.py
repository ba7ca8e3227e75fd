"""Exceptions by kind of failure."""

from __future__ import annotations

import errno as _errno
import json
from typing import Any, ClassVar


class BangerError(Exception):
    """Why a call failed: the base of all exceptions of this package.

    >>> import banger
    >>> try:
    ...     banger.Rootfs("/nonexistent.ext4")
    ... except FileNotFoundError as error:
    ...     print(type(error).__name__, error.kind, error.code)
    NotFoundError not-found 716
    """

    code: int
    """The number of the failure, which stays the same in all versions; docs/json.md lists them."""
    kind: str
    """The kind of the failure, which a program decides by: "not-found"."""
    message: str
    """What failed and on what, in one line."""
    advice: str
    """What the caller can do; "" where there is nothing."""
    context: dict[str, str]
    """Named values: `path`, `digest`, `host` and others."""
    is_transient: bool
    """Whether the same call may succeed later without any change by the caller."""
    errno: int | None
    """The host's error number, where there is one."""

    _errno_of_kind: ClassVar[int] = 0

    def __init__(self, report: dict[str, Any], *, is_transient: bool = False, errno: int = 0) -> None:
        message = str(report.get("message", ""))
        context = {str(key): str(value) for key, value in report.get("context", {}).items()}
        number = errno or self._errno_of_kind
        if isinstance(self, OSError):
            path = context.get("path") or context.get("file")
            OSError.__init__(self, number, message, *([path] if path else []))
        else:
            Exception.__init__(self, message)
            self.errno = number or None
        self._report = report
        self.code = int(report.get("code", 0))
        self.kind = str(report.get("kind", "internal"))
        self.message = message
        self.advice = str(report.get("advice", ""))
        self.context = context
        self.is_transient = is_transient

    def __str__(self) -> str:
        return f"{self.message}; {self.advice}" if self.advice else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self._report, self.is_transient, self.errno)


class CancelledError(BangerError):
    """The caller asked to stop, by a `Cancellation`."""


class NotFoundError(BangerError, FileNotFoundError):
    """A file, image, name or path does not exist."""

    _errno_of_kind = _errno.ENOENT


class ExistsError(BangerError, FileExistsError):
    """Something exists already in the place of what was to be made."""

    _errno_of_kind = _errno.EEXIST


class AccessError(BangerError, PermissionError):
    """A server or the host refuses access."""

    _errno_of_kind = _errno.EACCES


class NetworkError(BangerError, ConnectionError):
    """A server cannot be reached, or does not answer as it has to."""

    _errno_of_kind = _errno.ECONNABORTED


class NoSpaceError(BangerError, OSError):
    """The disk, the quota or the image is full."""

    _errno_of_kind = _errno.ENOSPC


class LimitError(BangerError):
    """The input costs more than a limit allows."""


class InUseError(BangerError, BlockingIOError):
    """Another process or thread uses the file."""

    _errno_of_kind = _errno.EAGAIN


class DamagedError(BangerError, ValueError):
    """The input is damaged or malformed."""


class UnsupportedError(BangerError):
    """The input is sound, but has something that banger does not support."""


class ArgumentError(BangerError, ValueError):
    """An argument or option has a value that makes no sense."""


class GuestError(BangerError):
    """A guest answered with an error, or not at all."""


class InternalError(BangerError):
    """The host failed otherwise, or banger has a fault."""


_BY_KIND: dict[str, type[BangerError]] = {
    "cancelled": CancelledError,
    "not-found": NotFoundError,
    "exists": ExistsError,
    "access": AccessError,
    "network": NetworkError,
    "no-space": NoSpaceError,
    "limit": LimitError,
    "in-use": InUseError,
    "damaged": DamagedError,
    "unsupported": UnsupportedError,
    "argument": ArgumentError,
    "guest": GuestError,
    "internal": InternalError,
}


def error_of(document: bytes, *, is_transient: bool, errno: int) -> BangerError:
    """Returns the exception for the JSON document of an error; one of an unknown kind is a `BangerError`."""
    report = json.loads(document)
    return _BY_KIND.get(report.get("kind"), BangerError)(report, is_transient=is_transient, errno=errno)


def _again(
    kind: type[BangerError], report: dict[str, Any], is_transient: bool, errno: int | None
) -> BangerError:
    return kind(report, is_transient=is_transient, errno=errno or 0)
