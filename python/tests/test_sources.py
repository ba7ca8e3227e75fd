"""Images from open files and from other programs of this machine."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

import banger


def directory_of(layout: str) -> Path:
    """The directory in a reference to a layout."""
    place = Path(layout.removeprefix("oci:"))
    return place if place.exists() else Path(str(place).rsplit(":", 1)[0])


def archive_of(layout: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.add(directory_of(layout), arcname=".")
    return made.getvalue()


def test_an_archive_comes_from_a_file_object(store: banger.Store, layout: str, tmp_path: Path) -> None:
    archive = archive_of(layout)
    (tmp_path / "layout.tar").write_bytes(archive)
    with store.pull(layout, inject=False) as wanted:
        digest = wanted.digest
    with store.pull("oci-archive:-", input_fd=io.BytesIO(archive), name="a", inject=False) as image:
        assert (image.digest, image.record["source"]) == (digest, "oci-archive:-")
    with (
        open(tmp_path / "layout.tar", "rb") as file,
        store.pull("oci-archive:-", input_fd=file, name="b", inject=False) as image,
    ):
        assert image.digest == digest
    reader, writer = os.pipe()
    os.write(writer, archive[:1000])
    os.close(writer)
    with pytest.raises(banger.BangerError) as failed:
        store.pull("oci-archive:-", input_fd=reader)
    os.close(reader)
    assert failed.value.code == 116


def test_blobs_come_from_open_files(store: banger.Store, layout: str) -> None:
    with store.pull(layout, inject=False) as wanted:
        digest = wanted.digest
    blobs = {}
    for path in (directory_of(layout) / "blobs/sha256").iterdir():
        blobs[f"sha256:{path.name}"] = io.BytesIO(path.read_bytes())
    reference = f"registry.invalid/app@{digest}"
    with store.pull(reference, blob_fd=blobs, name="blobs", inject=False) as image:
        assert (image.digest, image.record["source"]) == (digest, reference)
    blobs[digest] = io.BytesIO(b"something else")
    with pytest.raises(banger.BangerError) as failed:
        store.pull(reference, blob_fd=blobs, name="wrong")
    assert failed.value.code == 110


def test_sources_that_are_not_there(store: banger.Store) -> None:
    for reference, options, code in [
        ("oci-archive:-", {}, 1160),
        ("docker-daemon:app", {"docker_host": "/none"}, 1161),
        ("podman:app", {"podman_host": "unix:///none"}, 1161),
        ("containers-storage:app", {"storage_root": "/none"}, 1162),
        ("containers-storage:app", {"user_sources": False}, 1162),
    ]:
        with pytest.raises(banger.BangerError) as failed:
            store.pull(reference, **options)  # type: ignore[arg-type]
        assert failed.value.code == code
