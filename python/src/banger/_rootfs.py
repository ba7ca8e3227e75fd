"""What is inside an ext4 file: look, edit, commit, resize, verify."""

from __future__ import annotations

import base64
import ctypes
import errno
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, AnyStr, BinaryIO

from . import _abi
from ._entry import FILE_TYPES, DirEntry, Stat, file_type_of
from ._files import readable_fd, writable_fd
from ._native import (
    Cancellation,
    GuestPath,
    Handle,
    HostPath,
    bytes_of,
    call,
    flag,
    guest_path,
    host_path,
    json_of,
    library,
    patient_call,
    patient_json_of,
    text,
)
from ._options import options_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._metadata import Metadata
    from ._network import NetworkConfig
    from ._options import FindOptions, InjectOptions, PutOptions, RootfsOptions


class _Attributes:
    """Attributes of a new entry, and their size, as the library takes them: NULL where nothing is given."""

    def __init__(
        self, mode: int | None, uid: int | None, gid: int | None, mtime_ns: int | None, default: int
    ) -> None:
        self._made = _abi.banger_attrs()
        self._is_given = any(value is not None for value in (mode, uid, gid, mtime_ns))
        self._made.mode = default if mode is None else _unsigned("mode", mode)
        self._made.uid = _unsigned("uid", uid or 0)
        self._made.gid = _unsigned("gid", gid or 0)
        self._made.mtime_seconds, self._made.mtime_nanoseconds = _time(mtime_ns)

    def __iter__(self) -> Iterator[Any]:
        yield ctypes.byref(self._made) if self._is_given else None
        yield ctypes.sizeof(self._made)


def _unsigned(name: str, value: int) -> int:
    # ctypes would cut it.
    if not 0 <= value < 1 << 32:
        raise ValueError(f"{name} cannot be {value}")
    return value


def _time(mtime_ns: int | None) -> tuple[int, int]:
    """Returns seconds and nanoseconds; `None` is now."""
    if mtime_ns is None:
        return 0, _abi.BANGER_TIME_NOW
    seconds, nanoseconds = divmod(mtime_ns, 10**9)
    if not -(1 << 63) <= seconds < 1 << 63:
        raise ValueError(f"mtime_ns cannot be {mtime_ns}")
    return seconds, nanoseconds


def _as(path: AnyStr, found: bytes) -> AnyStr:
    """Returns a path as text where `path` is text, as the functions of `os` do."""
    return os.fsdecode(found) if isinstance(path, str) else found


def _join(directory: AnyStr, name: AnyStr) -> AnyStr:
    return os.path.join(directory, name)


class Rootfs(Handle):
    """The file system of an ext4 file. Threads may share it; their calls wait for each other.

    Paths inside are text or bytes, as the functions of `os` take them, and answers are of the same type.
    They start at the root of the file system; symlinks of the guest are followed inside of it.
    With `edit=True` it can be changed. Nothing reaches the file before `commit`, and a commit is atomic:
    after a crash the file has all changes or none.

    >>> import banger, os, tempfile
    >>> work = tempfile.mkdtemp()
    >>> os.makedirs(work + "/tree/etc")
    >>> built = banger.build(work + "/tree", work + "/disk.ext4")
    >>> with banger.Rootfs(work + "/disk.ext4", edit=True) as rootfs:
    ...     rootfs.write("/etc/hostname", "vm1\\n")
    ...     rootfs.commit()
    >>> with banger.Rootfs(work + "/disk.ext4") as rootfs:
    ...     rootfs.read("/etc/hostname"), rootfs.exists("/nothing")
    (b'vm1\\n', False)
    """

    _free = "banger_rootfs_free"

    def __init__(self, file: HostPath, *, edit: bool = False, **options: Unpack[RootfsOptions]) -> None:
        pointer = ctypes.c_void_p()
        flags = _abi.BANGER_EDIT if edit else 0
        with options_of(options) as given:
            call("banger_rootfs_open", host_path(file), flags, given, ctypes.byref(pointer))
        super().__init__(pointer)

    # Look

    def lstat(self, path: GuestPath) -> Stat:
        """Returns what is known of a path; a symlink at its end is not followed."""
        found = _abi.banger_stat()
        with self._use() as rootfs:
            call("banger_rootfs_stat", rootfs, *guest_path(path), ctypes.byref(found), ctypes.sizeof(found))
        return Stat(
            st_ino=found.inode,
            st_mode=file_type_of(found.file_type) | found.mode,
            st_nlink=found.nlink,
            st_uid=found.uid,
            st_gid=found.gid,
            st_size=found.size_bytes,
            st_mtime_ns=found.mtime_seconds * 10**9 + found.mtime_nanoseconds,
            st_rdev=os.makedev(found.device_major, found.device_minor),
        )

    def stat(self, path: GuestPath) -> Stat:
        """Returns what is known of a path; symlinks are followed."""
        return self.lstat(self._resolved(path))

    def exists(self, path: GuestPath) -> bool:
        """Returns whether the path leads somewhere; symlinks are followed."""
        try:
            self._resolved(path)
        except FileNotFoundError:
            return False
        return True

    def realpath(self, path: AnyStr) -> AnyStr:
        """Returns the path without symlinks of something that exists."""
        return _as(path, self._resolved(path))

    def _resolved(self, path: GuestPath) -> bytes:
        with self._use() as rootfs:
            return bytes_of("banger_rootfs_resolve", rootfs, *guest_path(path))

    def readlink(self, path: AnyStr) -> AnyStr:
        """Returns the target of a symlink."""
        with self._use() as rootfs:
            return _as(path, bytes_of("banger_rootfs_read_link", rootfs, *guest_path(path)))

    def read(self, path: GuestPath) -> bytes:
        """Returns the content of a regular file; symlinks are followed.

        A file larger than the option `max_output_bytes` (default: 64 MiB) is a `LimitError`: `open` it.
        """
        resolved = guest_path(self._resolved(path))
        with self._use() as rootfs:
            return bytes_of("banger_rootfs_read", rootfs, *resolved)

    def read_text(self, path: GuestPath, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Returns the content of a regular file as text."""
        return self.read(path).decode(encoding, errors)

    def read_at(self, path: GuestPath, offset: int, size: int) -> bytes:
        """Returns up to `size` bytes of a regular file from `offset` on; fewer at its end."""
        buffer = ctypes.create_string_buffer(size)
        got = self._read_into(self._resolved(path), offset, buffer, size)
        return buffer.raw[:got]

    def _read_into(self, path: GuestPath, offset: int, buffer: Any, size: int) -> int:
        got = ctypes.c_size_t()
        with self._use() as rootfs:
            name = "banger_rootfs_read_at"
            call(name, rootfs, *guest_path(path), offset, buffer, size, ctypes.byref(got))
        return got.value

    def open(self, path: GuestPath) -> io.BufferedReader:
        """Opens a regular file for reading in pieces; symlinks are followed. Close it before the `Rootfs`."""
        resolved = self._resolved(path)
        found = self.lstat(resolved)
        if not found.is_file():
            raise OSError(errno.EINVAL, "not a regular file", os.fsdecode(path))
        return io.BufferedReader(_GuestFile(self, resolved, found.st_size), 1 << 16)

    def scandir(self, path: AnyStr) -> list[DirEntry[AnyStr]]:
        """Returns the entries of a directory, without `.` and `..`, sorted by the bytes of their names."""
        directory = ctypes.c_void_p()
        found: list[tuple[bytes, int, int]] = []
        entry = _abi.banger_dirent()
        place, size = ctypes.byref(entry), ctypes.sizeof(entry)
        resolved = guest_path(self._resolved(path))
        with self._use() as rootfs:
            call("banger_rootfs_read_dir", rootfs, *resolved, ctypes.byref(directory))
        try:
            while True:
                call("banger_dir_next", directory, place, size)
                if entry.name is None:
                    break
                name = ctypes.string_at(entry.name, entry.name_length)
                found.append((name, entry.inode, file_type_of(entry.file_type)))
        finally:
            library.banger_dir_free(directory)
        return [DirEntry(_as(path, name), inode, kind) for name, inode, kind in found]

    def listdir(self, path: AnyStr) -> list[AnyStr]:
        """Returns the names of a directory, sorted by their bytes."""
        return [entry.name for entry in self.scandir(path)]

    def walk(self, top: AnyStr) -> Iterator[tuple[AnyStr, list[AnyStr], list[AnyStr]]]:
        """As `os.walk` from the top: each directory with the names of its directories and of the rest."""
        entries = self.scandir(top)
        names = [entry.name for entry in entries if entry.is_dir()]
        yield top, names, [entry.name for entry in entries if not entry.is_dir()]
        for name in names:
            yield from self.walk(_join(top, name))

    def xattrs(self, path: GuestPath) -> dict[str, bytes]:
        """Returns the extended attributes of a path; a symlink at its end is not followed."""
        with self._use() as rootfs:
            found = json_of("banger_rootfs_xattrs", rootfs, *guest_path(path))["xattrs"]
        return {name: base64.b64decode(value) for name, value in found.items()}

    # Edit

    def write(
        self,
        path: GuestPath,
        content: bytes | str,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        mtime_ns: int | None = None,
        cancel: Cancellation | None = None,
    ) -> None:
        """Writes a regular file, in the place of anything there but a directory. Text is written as UTF-8.

        Without mode, owner and time, a file that is replaced gives its mode, owner and extended attributes. A
        new file, and what is missing of them, is 0644, of 0:0, and of now.
        """
        data = content.encode() if isinstance(content, str) else bytes(content)
        attributes = _Attributes(mode, uid, gid, mtime_ns, 0o644)
        with self._use() as rootfs, flag(cancel) as (_, pointer):
            call("banger_rootfs_write", rootfs, *guest_path(path), data, len(data), *attributes, pointer)

    def write_from(
        self,
        path: GuestPath,
        source: HostPath | BinaryIO,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        mtime_ns: int | None = None,
        cancel: Cancellation | None = None,
    ) -> None:
        """As `write`, with the content of a host's file, or of an open one from its position on.

        Zeros become holes. An open file may be a pipe.
        """
        if isinstance(source, (str, os.PathLike)):
            with open(source, "rb") as file:
                self.write_from(path, file, mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns, cancel=cancel)
            return
        attributes = _Attributes(mode, uid, gid, mtime_ns, 0o644)
        with self._use() as rootfs, flag(cancel) as (stop, pointer), readable_fd(source) as fd:
            arguments = (rootfs, *guest_path(path), fd, *attributes, pointer)
            patient_call(stop, "banger_rootfs_write_from_fd", *arguments)

    def mkdir(
        self,
        path: GuestPath,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Makes a directory, whose parent exists: without more, 0755, of 0:0, and of now."""
        attributes = _Attributes(mode, uid, gid, mtime_ns, 0o755)
        with self._use() as rootfs:
            call("banger_rootfs_create_dir", rootfs, *guest_path(path), *attributes)

    def makedirs(
        self,
        path: GuestPath,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
    ) -> None:
        """Makes a directory, and those on the way that are missing, as 0755. One that exists is kept."""
        if self.exists(path):
            return
        parent = os.path.dirname(os.fsencode(path).rstrip(b"/"))
        if parent.strip(b"/"):
            self.makedirs(parent, uid=uid, gid=gid)
        self.mkdir(path, mode=mode, uid=uid, gid=gid)

    def symlink(
        self,
        target: GuestPath,
        path: GuestPath,
        *,
        uid: int | None = None,
        gid: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Makes a symlink at `path` with `target`, which is stored as it is."""
        attributes = _Attributes(None, uid, gid, mtime_ns, 0o777)
        with self._use() as rootfs:
            call("banger_rootfs_symlink", rootfs, *guest_path(path), *guest_path(target), *attributes)

    def link(self, existing: GuestPath, path: GuestPath) -> None:
        """Gives the file `existing` the further name `path`."""
        with self._use() as rootfs:
            call("banger_rootfs_hard_link", rootfs, *guest_path(existing), *guest_path(path))

    def mknod(
        self,
        path: GuestPath,
        file_type: int,
        device: int = 0,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Makes a device, a pipe or a socket: `file_type` is `stat.S_IFCHR` and others, `device` comes from
        `os.makedev`. Without more it is 0644, of 0:0, and of now."""
        numbers = {value: number for number, value in FILE_TYPES.items()}
        if file_type not in numbers:
            raise ValueError(f"{file_type:#o} is not a file type")
        attributes = _Attributes(mode, uid, gid, mtime_ns, 0o644)
        made = numbers[file_type], os.major(device), os.minor(device)
        with self._use() as rootfs:
            call("banger_rootfs_mknod", rootfs, *guest_path(path), *made, *attributes)

    def remove(self, path: GuestPath, *, cancel: Cancellation | None = None) -> None:
        """Removes a path, and everything below it where it is a directory."""
        with self._use() as rootfs, flag(cancel) as (_, pointer):
            call("banger_rootfs_remove", rootfs, *guest_path(path), pointer)

    def rename(self, source: GuestPath, target: GuestPath) -> None:
        """Moves `source` to `target`, which must not exist."""
        with self._use() as rootfs:
            call("banger_rootfs_rename", rootfs, *guest_path(source), *guest_path(target))

    def chmod(self, path: GuestPath, mode: int) -> None:
        """Sets the permissions of a path; a symlink at its end is not followed."""
        with self._use() as rootfs:
            call("banger_rootfs_set_mode", rootfs, *guest_path(path), _unsigned("mode", mode))

    def chown(self, path: GuestPath, uid: int, gid: int) -> None:
        """Sets owner and group of a path; -1 keeps one. A symlink at its end is not followed."""
        ids = [
            _abi.BANGER_KEEP_ID if value == -1 else _unsigned(name, value)
            for name, value in (("uid", uid), ("gid", gid))
        ]
        with self._use() as rootfs:
            call("banger_rootfs_set_owner", rootfs, *guest_path(path), *ids)

    def utime(self, path: GuestPath, mtime_ns: int | None = None) -> None:
        """Sets the time of the last modification; `None` is now. A symlink at the end is not followed."""
        time = _time(mtime_ns)
        with self._use() as rootfs:
            call("banger_rootfs_set_mtime", rootfs, *guest_path(path), *time)

    def setxattr(self, path: GuestPath, name: str, value: bytes) -> None:
        """Sets an extended attribute; a symlink at the end of the path is not followed."""
        with self._use() as rootfs:
            call("banger_rootfs_set_xattr", rootfs, *guest_path(path), text(name), value, len(value))

    def removexattr(self, path: GuestPath, name: str) -> None:
        """Removes an extended attribute; a symlink at the end of the path is not followed."""
        with self._use() as rootfs:
            call("banger_rootfs_remove_xattr", rootfs, *guest_path(path), text(name))

    @property
    def is_commit_due(self) -> bool:
        """Whether so many changes wait that a `commit` should come before more of them."""
        with self._use() as rootfs:
            return bool(library.banger_rootfs_is_commit_due(rootfs))

    def commit(self, *, cancel: Cancellation | None = None) -> None:
        """Writes all changes since the last commit into the file: all of them or, after a crash, none."""
        with self._use() as rootfs, flag(cancel) as (stop, pointer):
            patient_call(stop, "banger_rootfs_commit", rootfs, pointer)

    # The whole file system

    @property
    def size_bytes(self) -> int:
        """The size of the file system."""
        with self._use() as rootfs:
            return int(library.banger_rootfs_size_bytes(rootfs))

    def minimum_size(self, *, cancel: Cancellation | None = None) -> int:
        """Returns the smallest size that `resize` can give the file system as it is now."""
        least = ctypes.c_uint64()
        with self._use() as rootfs, flag(cancel) as (stop, pointer):
            patient_call(stop, "banger_rootfs_minimum_size", rootfs, pointer, ctypes.byref(least))
        return least.value

    def resize(self, size_bytes: int, *, cancel: Cancellation | None = None) -> int:
        """Makes the file system larger or smaller, and its file with it, commits, and returns the new size.

        That is a little less than `size_bytes` where the end would be hardly more than metadata.
        """
        now = ctypes.c_uint64()
        with self._use() as rootfs, flag(cancel) as (stop, pointer):
            patient_call(stop, "banger_rootfs_resize", rootfs, size_bytes, pointer, ctypes.byref(now))
        return now.value

    def verify(self, *, cancel: Cancellation | None = None) -> dict[str, Any]:
        """Reads all but the content of files, and returns `problems`, none where it is sound, and others."""
        with self._use() as rootfs, flag(cancel) as (stop, pointer):
            made: dict[str, Any] = patient_json_of(stop, "banger_rootfs_verify", rootfs, pointer)
        return made

    def tar(
        self, path: GuestPath, target: HostPath | BinaryIO, *, cancel: Cancellation | None = None
    ) -> dict[str, Any]:
        """Writes a path, with all that is below it, as a tar; returns the document of `rootfs tar --json`.

        Names in the tar begin below the path. The target is a file of the host, which is replaced, or an open
        one. The tar has changes that are not committed yet.
        """
        if isinstance(target, (str, os.PathLike)):
            with open(target, "wb") as file:
                return self.tar(path, file, cancel=cancel)
        with self._use() as rootfs, flag(cancel) as (stop, pointer), writable_fd(target) as fd:
            arguments = (rootfs, *guest_path(path), fd, pointer)
            made: dict[str, Any] = patient_json_of(stop, "banger_rootfs_tar_fd", *arguments)
        return made

    def edit_script(
        self, script: Mapping[str, Any], *, dry_run: bool = False, cancel: Cancellation | None = None
    ) -> dict[str, Any]:
        """Carries out a script of edits (docs/edit-script.md) and commits it, all of it or nothing.

        Returns the document of `rootfs edit --json`. Earlier changes belong to the commit. After an error,
        and after a trial (`dry_run`), all changes since the last commit are forgotten.
        """
        text = json.dumps(script).encode()
        options = {"dry_run": dry_run}
        with self._use() as rootfs, flag(cancel) as (stop, pointer), options_of(options) as given:
            arguments = (rootfs, text, len(text), given, pointer)
            made: dict[str, Any] = patient_json_of(stop, "banger_rootfs_edit_script", *arguments)
        return made

    def put(
        self,
        source: HostPath,
        path: GuestPath,
        *,
        cancel: Cancellation | None = None,
        **how: Unpack[PutOptions],
    ) -> dict[str, Any]:
        """Copies a file or directory of the host to a path, and commits; returns `put --json`'s document.

        A single file is read back from the image, and its bytes are compared. Earlier changes belong to the
        commit. After an error, all changes since the last commit are forgotten.
        """
        options = {f"put_{name}": value for name, value in how.items()}
        with self._use() as rootfs, flag(cancel) as (stop, pointer), options_of(options) as given:
            arguments = (rootfs, host_path(source), *guest_path(path), given, pointer)
            made: dict[str, Any] = patient_json_of(stop, "banger_rootfs_put", *arguments)
        return made

    def get(
        self, path: GuestPath, destination: HostPath, *, cancel: Cancellation | None = None
    ) -> dict[str, Any]:
        """Copies a path, with all that is below it, to a new name or into a directory of the host.

        The copy is complete or absent. Returns the document of `rootfs get --json`.
        """
        with self._use() as rootfs, flag(cancel) as (stop, pointer):
            arguments = (rootfs, *guest_path(path), host_path(destination), pointer)
            made: dict[str, Any] = patient_json_of(stop, "banger_rootfs_get", *arguments)
        return made

    def usage(self) -> dict[str, Any]:
        """Returns the document of `rootfs df --json`: how much space and how many inodes are in use."""
        with self._use() as rootfs:
            made: dict[str, Any] = json_of("banger_rootfs_usage", rootfs)
        return made

    def disk_usage(
        self, path: GuestPath, *, detail: str = "directories", cancel: Cancellation | None = None
    ) -> dict[str, Any]:
        """Returns the document of `rootfs du --json`; the detail is "summary", "directories" or "all"."""
        options = {"usage_detail": detail}
        with self._use() as rootfs, flag(cancel) as (stop, pointer), options_of(options) as given:
            arguments = (rootfs, *guest_path(path), given, pointer)
            made: dict[str, Any] = patient_json_of(stop, "banger_rootfs_disk_usage", *arguments)
        return made

    def find(
        self, path: GuestPath, *, cancel: Cancellation | None = None, **conditions: Unpack[FindOptions]
    ) -> dict[str, Any]:
        """Returns the document of `rootfs find --json`: the files that meet all conditions."""
        with self._use() as rootfs, flag(cancel) as (stop, pointer), _conditions(conditions) as given:
            arguments = (rootfs, *guest_path(path), given, pointer)
            made: dict[str, Any] = patient_json_of(stop, "banger_rootfs_find", *arguments)
        return made

    def diff(self, other: Rootfs, *, cancel: Cancellation | None = None) -> dict[str, Any]:
        """Returns the document of `rootfs diff --json`: the paths in which another file system differs."""
        with self._use() as rootfs, other._use() as second, flag(cancel) as (stop, pointer):
            made: dict[str, Any] = patient_json_of(stop, "banger_rootfs_diff", rootfs, second, pointer)
        return made

    @staticmethod
    def repair(file: HostPath, *, cancel: Cancellation | None = None) -> dict[str, Any]:
        """Repairs counters, bitmaps and their checksums; returns the document of `rootfs repair --json`.

        Other damage is in `problems`; then nothing was changed. Damage that makes the file unreadable is an
        error.
        """
        with flag(cancel) as (stop, pointer):
            made: dict[str, Any] = patient_json_of(stop, "banger_rootfs_repair", host_path(file), pointer)
        return made

    def metadata(self, *, cancel: Cancellation | None = None) -> Metadata:
        """Returns owner, permissions, time and extended attributes of every path."""
        from ._metadata import Metadata

        made = ctypes.c_void_p()
        with self._use() as rootfs, flag(cancel) as (stop, pointer):
            patient_call(stop, "banger_metadata_of_rootfs", rootfs, pointer, ctypes.byref(made))
        return Metadata(made)

    def apply_ownership(self, metadata: Metadata, *, cancel: Cancellation | None = None) -> dict[str, Any]:
        """Gives the paths the attributes of `metadata`, and returns what did not fit."""
        name = "banger_rootfs_apply_ownership"
        with self._use() as rootfs, metadata._use() as given, flag(cancel) as (stop, pointer):
            made: dict[str, Any] = patient_json_of(stop, name, rootfs, given, pointer)
        return made

    def inject(
        self, *, cancel: Cancellation | None = None, **options: Unpack[InjectOptions]
    ) -> dict[str, Any]:
        """Makes the file system boot, and returns the document of `banger rootfs inject --json`."""
        with self._use() as rootfs, options_of(options) as given, flag(cancel) as (stop, pointer):
            made: dict[str, Any] = patient_json_of(stop, "banger_rootfs_inject", rootfs, given, pointer)
        return made

    def write_network(self, network: NetworkConfig) -> None:
        """Writes the network that the guest gets at each boot: `/etc/banger-network.conf`."""
        with self._use() as rootfs, options_of(network._options()) as given:
            call("banger_rootfs_write_network", rootfs, given)


def _conditions(conditions: Mapping[str, Any]) -> AbstractContextManager[int | None]:
    """Lends conditions as options; `path` is where the search starts."""
    names = {"whole_path": "path"}
    return options_of({f"find_{names.get(name, name)}": value for name, value in conditions.items()})


class _GuestFile(io.RawIOBase):
    """A regular file of a file system, for `io.BufferedReader`."""

    def __init__(self, rootfs: Rootfs, path: GuestPath, size: int) -> None:
        super().__init__()
        self._rootfs = rootfs
        self._path = path
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative seek position {start + offset}")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        place = (ctypes.c_char * len(view)).from_buffer(view)
        got = self._rootfs._read_into(self._path, self._position, place, len(view))
        self._position += got
        return got
