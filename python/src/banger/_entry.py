"""What is known of a path inside a file system."""

from __future__ import annotations

import stat as _stat
from dataclasses import dataclass
from typing import AnyStr, Generic

from . import _abi

FILE_TYPES = {
    _abi.BANGER_FILE_REGULAR: _stat.S_IFREG,
    _abi.BANGER_FILE_DIRECTORY: _stat.S_IFDIR,
    _abi.BANGER_FILE_SYMLINK: _stat.S_IFLNK,
    _abi.BANGER_FILE_CHAR_DEVICE: _stat.S_IFCHR,
    _abi.BANGER_FILE_BLOCK_DEVICE: _stat.S_IFBLK,
    _abi.BANGER_FILE_FIFO: _stat.S_IFIFO,
    _abi.BANGER_FILE_SOCKET: _stat.S_IFSOCK,
}


def file_type_of(number: int) -> int:
    """Returns the type as in `st_mode`; 0 for one that this version does not know."""
    return FILE_TYPES.get(number, 0)


@dataclass(frozen=True)
class Stat:
    """What `os.lstat` tells of a path on a host."""

    st_ino: int
    """The number of the inode: equal for hard links of one file."""
    st_mode: int
    """Type and permissions, for the functions of the module `stat`."""
    st_nlink: int
    st_uid: int
    st_gid: int
    st_size: int
    st_mtime_ns: int
    st_rdev: int
    """The device, for `os.major` and `os.minor`; 0 for the rest."""

    @property
    def st_mtime(self) -> float:
        """The time of the last change in seconds."""
        return self.st_mtime_ns / 1e9

    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return _stat.S_ISDIR(self.st_mode)

    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return _stat.S_ISREG(self.st_mode)

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return _stat.S_ISLNK(self.st_mode)


@dataclass(frozen=True)
class DirEntry(Generic[AnyStr]):
    """One entry of a directory."""

    name: AnyStr
    inode: int
    file_type: int
    """The type as in `st_mode`: `stat.S_IFREG` and others."""

    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.file_type == _stat.S_IFDIR

    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.file_type == _stat.S_IFREG

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self.file_type == _stat.S_IFLNK
