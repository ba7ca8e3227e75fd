"""What runs inside of a virtual machine."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from . import _abi
from ._files import descriptor
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
    from ._network import NetworkConfig


@dataclass(frozen=True)
class Exit:
    """How a program of the guest ended."""

    status: int | None
    """The status that it exited with."""
    signal: int | None
    """The signal that killed it."""

    @property
    def returncode(self) -> int:
        """The status, or the signal as a negative number, as `subprocess` has it."""
        return -self.signal if self.signal is not None else self.status or 0


@dataclass(frozen=True)
class Completed(Exit):
    """A program of the guest that has ended, and its output."""

    stdout: bytes
    stderr: bytes


