"""Owner, permissions, time and extended attributes of every path of a root file system."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _abi
from ._entry import file_type_of
from ._native import Cancellation, Handle, bytes_of, call, flag, library, patient_call, text
from ._options import options_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import PullOptions
    from ._store import Store


@dataclass(frozen=True)
class MetadataEntry:
    """One path."""

    path: bytes
    st_mode: int
    """Type and permissions, for the functions of the module `stat`."""
    st_uid: int
    st_gid: int
    st_mtime_ns: int
    st_rdev: int
    """The device, for `os.major` and `os.minor`; 0 for the rest."""


class Metadata(Handle):
    """The attributes of every path, parents before children: what an unprivileged copy of a tree loses.

    It is a sequence of `MetadataEntry`.

    >>> import banger, os, tempfile
    >>> work = tempfile.mkdtemp()
    >>> os.makedirs(work + "/tree/etc")
    >>> built = banger.build(work + "/tree", work + "/disk.ext4")
    >>> with banger.Rootfs(work + "/disk.ext4") as rootfs, rootfs.metadata() as metadata:
    ...     [entry.path for entry in metadata]
    [b'/', b'/etc', b'/lost+found']
    """

    _free = "banger_metadata_free"

    @classmethod
    def of_image(
        cls,
        store: Store,
        reference: str,
        *,
        cancel: Cancellation | None = None,
        **options: Unpack[PullOptions],
    ) -> Metadata:
        """Reads the layers of an image, and returns what they say of every path."""
        made = ctypes.c_void_p()
        with store._use() as pointer, options_of(options) as given, flag(cancel) as (stop, flagged):
            arguments = (pointer, text(reference), given, flagged, None, None, ctypes.byref(made))
            patient_call(stop, "banger_metadata_of_image", *arguments)
        return cls(made)

    @classmethod
    def from_json(cls, document: str | bytes) -> Metadata:
        """Returns the metadata of a document that `to_json` made."""
        data = document.encode() if isinstance(document, str) else document
        made = ctypes.c_void_p()
        call("banger_metadata_from_json", data, len(data), ctypes.byref(made))
        return cls(made)

    def to_json(self) -> str:
        """Returns all entries as a JSON document."""
        with self._use() as metadata:
            return bytes_of("banger_metadata_json", metadata).decode()

    def __len__(self) -> int:
        with self._use() as metadata:
            return int(library.banger_metadata_length(metadata))

    def __getitem__(self, index: int) -> MetadataEntry:
        found = _abi.banger_metadata_entry()
        with self._use() as metadata:
            length = library.banger_metadata_length(metadata)
            at = index + length if index < 0 else index
            if not 0 <= at < length:
                raise IndexError(index)
            name = "banger_metadata_at"
            call(name, metadata, at, ctypes.byref(found), ctypes.sizeof(found))
            # The path belongs to the metadata: it is copied before they can be freed.
            path = ctypes.string_at(found.path, found.path_length)
        return MetadataEntry(
            path=path,
            st_mode=file_type_of(found.file_type) | found.mode,
            st_uid=found.uid,
            st_gid=found.gid,
            st_mtime_ns=found.mtime_seconds * 10**9 + found.mtime_nanoseconds,
            st_rdev=os.makedev(found.device_major, found.device_minor),
        )

    def __iter__(self) -> Iterator[MetadataEntry]:
        return (self[index] for index in range(len(self)))
