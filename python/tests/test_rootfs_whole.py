"""Scripts, copies, sizes, searches, comparisons and repairs of whole file systems."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import banger


def test_a_script_is_all_or_nothing(disk: Path) -> None:
    write = {"op": "write", "path": "/etc/hostname", "content": "new\n"}
    with banger.Rootfs(disk, edit=True) as fs:
        before = fs.read("/etc/hostname")
        trial = fs.edit_script({"schemaVersion": 1, "operations": [write]}, dry_run=True)
        assert trial["dry_run"] and fs.read("/etc/hostname") == before
        with pytest.raises(banger.NotFoundError) as failure:
            fs.edit_script({"schemaVersion": 1, "operations": [write, {"op": "remove", "path": "/nothing"}]})
        assert failure.value.context["index"] == "1"
        assert fs.read("/etc/hostname") == before
        done = fs.edit_script({"schemaVersion": 1, "operations": [write]})
        assert done["operations"][0]["digest"] == "sha256:" + hashlib.sha256(b"new\n").hexdigest()
    with banger.Rootfs(disk) as fs:
        assert fs.read("/etc/hostname") == b"new\n"


def test_a_file_is_put_if_the_content_matches(disk: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("put\n")
    with banger.Rootfs(disk, edit=True) as fs:
        present = "sha256:" + hashlib.sha256(fs.read("/etc/hostname")).hexdigest()
        with pytest.raises(banger.BangerError) as failure:
            fs.put(source, "/etc/hostname", if_match="absent")
        assert failure.value.code == 1342 and failure.value.context["found"] == present
        assert fs.put(source, "/etc/hostname", if_match=present, mode="600")["paths"] == ["/etc/hostname"]
        assert fs.lstat("/etc/hostname").st_mode & 0o7777 == 0o600


def test_a_file_system_is_measured_searched_copied_and_compared(disk: Path, tmp_path: Path) -> None:
    with banger.Rootfs(disk) as fs:
        usage = fs.usage()
        assert usage["used_bytes"] + usage["free_bytes"] == usage["size_bytes"]
        summary = fs.disk_usage("/", detail="summary")
        assert [row["path"] for row in summary["paths"]] == ["/"]
        found = fs.find("/", name="host*", type=["file"], size="+0", whole_path="/etc/*", max_depth=2)
        assert [entry["path"] for entry in found["entries"]] == ["/etc/hostname"]
        copied = fs.get("/etc", tmp_path / "copy")
        assert copied["paths"] == [str(tmp_path / "copy")]
        assert (tmp_path / "copy" / "hostname").read_bytes() == fs.read("/etc/hostname")
        with banger.Rootfs(disk) as same:
            assert fs.diff(same)["differences"] == []


def test_a_sound_file_system_needs_no_repair(disk: Path) -> None:
    report = banger.Rootfs.repair(disk)
    assert (report["repair_count"], report["problem_count"]) == (0, 0)
