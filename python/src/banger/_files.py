"""Open files of the host."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, Union

OpenFile = Union[int, IO[Any]]
"""A file descriptor, or a file object with one."""


def fd_of(file: OpenFile) -> int:
    """Returns the file descriptor of a file, behind what the program has written to it."""
    if isinstance(file, int):
        return file
    if file.writable():
        file.flush()
    return file.fileno()


@contextmanager
def readable_fd(file: BinaryIO) -> Iterator[int]:
    """Lends a file descriptor that gives what `file` gives; one without is copied to a temporary file."""
    try:
        fd = file.fileno()
        # What Python has read ahead is not lost: the descriptor is put where the file is.
        if file.seekable():
            os.lseek(fd, file.tell(), os.SEEK_SET)
    except io.UnsupportedOperation:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            copy.seek(0)
            yield copy.fileno()
    else:
        yield fd


@contextmanager
def writable_fd(file: BinaryIO) -> Iterator[int]:
    """Lends a file descriptor whose content goes where `file` writes."""
    try:
        file.flush()
        fd = file.fileno()
    except io.UnsupportedOperation:
        with tempfile.TemporaryFile() as copy:
            yield copy.fileno()
            copy.seek(0)
            shutil.copyfileobj(copy, file)
    else:
        yield fd
