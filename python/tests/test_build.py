"""Builds of disks without a source."""

from pathlib import Path

import pytest

import banger


def test_a_data_disk(tmp_path: Path) -> None:
    built = banger.build(
        None,
        tmp_path / "data.ext4",
        own_identity=True,
        headroom_bytes=1 << 20,
        journal_bytes=0,
        reserved_blocks=2,
        label="data",
    )
    assert (built["source"], built["source_kind"], built["label"]) == (None, "empty", "data")
    assert built["free_bytes"] >= (1 << 20) + 2 * 4096
    with pytest.raises(banger.ArgumentError):
        banger.build(None, tmp_path / "other.ext4")
