"""Looking into an ext4 file, and editing it."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import threading
from pathlib import Path

import pytest

import banger


def test_what_is_there(disk: Path) -> None:
    with banger.Rootfs(disk) as rootfs:
        assert rootfs.listdir("/") == ["etc", "lost+found", "sub"]
        assert rootfs.listdir(b"/sub") == [b"data", b"twin"]
        data = rootfs.lstat("/sub/data")
        assert data.is_file()
        assert (data.st_size, data.st_nlink) == (1 << 14, 2)
        assert data.st_ino == rootfs.lstat(b"/sub/twin").st_ino
        assert data.st_mtime == pytest.approx(data.st_mtime_ns / 1e9)
        assert rootfs.lstat("/etc/mtab").is_symlink()
        assert rootfs.readlink("/etc/mtab") == "../proc/mounts"
        assert rootfs.readlink(b"/etc/mtab") == b"../proc/mounts"
        assert not rootfs.exists("/etc/mtab")
        assert rootfs.exists("/etc/../etc/hostname")
        assert stat.filemode(rootfs.stat("/etc").st_mode).startswith("d")
        assert rootfs.read("/etc/hostname") == b"old\n"
        assert rootfs.read_text("/etc/hostname") == "old\n"
        assert rootfs.read_at("/sub/data", 255, 3) == b"\xff\x00\x01"
        assert rootfs.read_at("/sub/data", 1 << 20, 3) == b""
        assert rootfs.size_bytes == 16 << 20
        entries = {entry.name: entry for entry in rootfs.scandir("/etc")}
        assert entries["mtab"].is_symlink() and entries["hostname"].is_file()
        assert not entries["mtab"].is_dir()
        walked = {top: (dirs, files) for top, dirs, files in rootfs.walk("/")}
        assert walked["/sub"] == ([], ["data", "twin"])
        assert walked["/"][0] == ["etc", "lost+found", "sub"]


def test_a_tar_of_a_directory(disk: Path, tmp_path: Path) -> None:
    with banger.Rootfs(disk, edit=True) as rootfs:
        rootfs.write("/etc/uncommitted", b"here")
        report = rootfs.tar("/etc", tmp_path / "etc.tar")
        assert (report["path"], report["entries"], report["warnings"]) == ("/etc", 4, [])
        with tarfile.open(tmp_path / "etc.tar") as tar:
            assert tar.getnames() == [".", "hostname", "mtab", "uncommitted"]
        memory = io.BytesIO()
        rootfs.tar("/sub", memory)
        memory.seek(0)
        with tarfile.open(fileobj=memory) as tar:
            assert tar.getmember("twin").islnk()
        with pytest.raises(FileNotFoundError):
            rootfs.tar("/nothing", io.BytesIO())


def test_a_file_is_a_file_object(disk: Path) -> None:
    content = bytes(range(256)) * 64
    with banger.Rootfs(disk) as rootfs:
        with rootfs.open("/sub/data") as file:
            assert file.read(3) == b"\x00\x01\x02"
            file.seek(-1, os.SEEK_END)
            assert file.read() == b"\xff"
            file.seek(0)
            assert file.read() == content
        with pytest.raises(OSError, match="not a regular file"):
            rootfs.open("/etc")


def test_failures_are_those_of_files(disk: Path) -> None:
    with banger.Rootfs(disk, edit=True) as rootfs:
        with pytest.raises(FileNotFoundError) as caught:
            rootfs.read("/etc/nothing")
        assert caught.value.filename == "/etc/nothing"
        with pytest.raises(banger.BangerError):
            rootfs.read("/etc")
        with pytest.raises(FileExistsError):
            rootfs.mkdir("/etc")
        with pytest.raises(banger.BangerError):
            rootfs.read("relative")
    with banger.Rootfs(disk) as rootfs, pytest.raises(banger.BangerError):
        rootfs.write("/a", b"")


def test_an_edit_counts_after_its_commit(disk: Path, tmp_path: Path) -> None:
    with banger.Rootfs(disk, edit=True) as rootfs:
        rootfs.write("/etc/hostname", "lost\n")
    (tmp_path / "source").write_bytes(b"from a file")
    with banger.Rootfs(disk, edit=True) as rootfs:
        assert rootfs.read("/etc/hostname") == b"old\n"
        rootfs.write(
            "/etc/hostname", "new\n", mode=0o600, uid=1000, gid=70000, mtime_ns=1_500_000_000_123_456_789
        )
        rootfs.makedirs("/a/b/c", mode=0o700)
        rootfs.makedirs("/a/b/c")
        rootfs.write_from("/a/path", tmp_path / "source")
        rootfs.write_from("/a/memory", io.BytesIO(b"from memory"))
        with (tmp_path / "source").open("rb") as file:
            assert file.read(5) == b"from "
            rootfs.write_from("/a/rest", file)
        rootfs.symlink("b", "/a/link")
        rootfs.link("/a/path", "/a/twin")
        rootfs.mknod("/a/null", stat.S_IFCHR, os.makedev(1, 3), mode=0o666)
        rootfs.mknod(b"/a/fifo\xff", stat.S_IFIFO)
        rootfs.rename("/sub/twin", "/sub/renamed")
        rootfs.remove("/sub/data")
        rootfs.chmod("/sub", 0o1777)
        rootfs.chown("/sub", 5, 6)
        rootfs.utime("/sub", 1_000_000_007)
        rootfs.setxattr("/sub", "user.a", b"\x00\xff")
        rootfs.setxattr("/sub", "user.b", b"b")
        rootfs.removexattr("/sub", "user.b")
        rootfs.commit()
    with banger.Rootfs(disk) as rootfs:
        hostname = rootfs.lstat("/etc/hostname")
        assert (stat.S_IMODE(hostname.st_mode), hostname.st_uid, hostname.st_gid) == (0o600, 1000, 70000)
        assert hostname.st_mtime_ns == 1_500_000_000_123_456_789
        assert stat.S_IMODE(rootfs.lstat("/a/b/c").st_mode) == 0o700
        assert rootfs.read("/a/path") == rootfs.read("/a/twin") == b"from a file"
        assert rootfs.read("/a/memory") == b"from memory"
        assert rootfs.read("/a/rest") == b"a file"
        assert rootfs.realpath("/a/link/c") == "/a/b/c"
        null = rootfs.lstat("/a/null")
        assert stat.S_ISCHR(null.st_mode) and null.st_rdev == os.makedev(1, 3)
        assert b"fifo\xff" in rootfs.listdir(b"/a")
        assert stat.S_ISFIFO(rootfs.lstat("/a/fifo\udcff").st_mode)
        assert rootfs.listdir("/sub") == ["renamed"]
        sub = rootfs.lstat("/sub")
        assert (stat.S_IMODE(sub.st_mode), sub.st_uid, sub.st_gid) == (0o1777, 5, 6)
        assert sub.st_mtime_ns == 1_000_000_007
        assert rootfs.xattrs("/sub") == {"user.a": b"\x00\xff"}
        assert rootfs.verify()["problems"] == []


def test_resize(disk: Path) -> None:
    with banger.Rootfs(disk, edit=True) as rootfs:
        assert rootfs.resize(32 << 20) == 32 << 20
    assert disk.stat().st_size == 32 << 20
    with banger.Rootfs(disk, edit=True) as rootfs:
        least = rootfs.minimum_size()
        assert rootfs.resize(least) == least < 32 << 20
        with pytest.raises(banger.BangerError):
            rootfs.resize(4096)
    assert disk.stat().st_size == least
    with banger.Rootfs(disk) as rootfs:
        assert rootfs.size_bytes == least
        assert rootfs.verify()["problems"] == []


def test_metadata_and_ownership(disk: Path) -> None:
    with banger.Rootfs(disk, edit=True) as rootfs:
        rootfs.chown("/etc/hostname", 7, -1)
        rootfs.chown("/etc/hostname", -1, 8)
        rootfs.commit()
    with banger.Rootfs(disk, edit=True) as rootfs:
        with rootfs.metadata() as now:
            entries = {entry.path: entry for entry in now}
            assert (entries[b"/etc/hostname"].st_uid, entries[b"/etc/hostname"].st_gid) == (7, 8)
            assert stat.S_ISLNK(entries[b"/etc/mtab"].st_mode)
            assert now[-1] == list(now)[len(now) - 1]
            with pytest.raises(IndexError):
                now[len(now)]
            document = now.to_json()
        rootfs.chown("/etc/hostname", 0, 0)
        with banger.Metadata.from_json(document) as metadata:
            rootfs.apply_ownership(metadata)
        rootfs.commit()
    with banger.Rootfs(disk) as rootfs:
        assert rootfs.lstat("/etc/hostname").st_uid == 7
    with pytest.raises(banger.BangerError):
        banger.Metadata.from_json("{")


def test_metadata_of_an_image(store: banger.Store, layout: str) -> None:
    with banger.Metadata.of_image(store, layout) as metadata:
        paths = [entry.path for entry in metadata]
    assert b"/etc/hostname" in paths
    assert paths[0] == b"/"


def test_inject_and_network(store: banger.Store, layout: str, tmp_path: Path) -> None:
    store.pull_to_file(layout, tmp_path / "a.ext4", inject=False, size_bytes=64 << 20).close()
    with banger.Rootfs(tmp_path / "a.ext4", edit=True) as rootfs:
        report = rootfs.inject(init="banger", architecture="amd64", hostname="vm1")
        rootfs.write_network(banger.NetworkConfig(addresses=["10.0.0.2/24"], gateways=["10.0.0.1"]))
        rootfs.commit()
    assert "/usr/local/bin/banger-vsock-agent" in report["injected"]
    with banger.Rootfs(tmp_path / "a.ext4") as rootfs:
        assert "10.0.0.2/24" in rootfs.read_text("/etc/banger-network.conf")
        assert rootfs.exists("/usr/local/bin/banger-vsock-agent")


def test_two_threads_wait_for_each_other(disk: Path) -> None:
    with banger.Rootfs(disk, edit=True) as rootfs:
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(50):
                    rootfs.write(f"/file-{number}", str(turn))
                    assert rootfs.read(f"/file-{number}") == str(turn).encode()
                    rootfs.listdir("/")
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        rootfs.commit()
    with banger.Rootfs(disk) as rootfs:
        assert rootfs.verify()["problems"] == []


def test_a_file_system_in_use(disk: Path) -> None:
    with banger.Rootfs(disk, edit=True):
        with pytest.raises(BlockingIOError) as caught:
            banger.Rootfs(disk, edit=True)
    assert isinstance(caught.value, banger.InUseError)
