"""The kernels of a store."""

from __future__ import annotations

from pathlib import Path

import pytest

import banger


def image(path: Path, filler: int = 1000) -> Path:
    """Writes an arm64 Image that does not run."""
    head = b"\0" * 56 + b"ARM\x64" + b"\0" * 4
    path.write_bytes(head + b"Linux version 6.1.0-test (x)\0" + b"x" * filler)
    return path


def test_the_kernels_of_a_store(store: banger.Store, tmp_path: Path) -> None:
    assert store.list_kernels()["kernels"] == []
    config = tmp_path / "config"
    config.write_text("CONFIG_EXT4_FS=y\n")
    kernel = image(tmp_path / "Image")
    made = store.import_kernel(kernel, name="one", kernel_config=config)
    assert (made["name"], made["release"], made["architecture"]) == ("one", "6.1.0-test", "arm64")
    assert (Path(made["path"]) / "Image").read_bytes() == kernel.read_bytes()
    assert store.import_kernel(kernel, name="one", kernel_config=config)["unchanged"] is True
    with pytest.raises(banger.ExistsError):
        store.import_kernel(kernel, name="one")
    assert [kernel["name"] for kernel in store.list_kernels()["kernels"]] == ["one"]
    assert store.show_kernel(made["id"])["config"]["origin"] == "file"
    (tmp_path / "tree").mkdir()
    rootfs = banger.build(tmp_path / "tree", tmp_path / "rootfs.ext4", size_bytes=16 << 20)["path"]
    with store.register(rootfs, name="with-kernel", kernel_ref="one") as registered:
        assert (Path(registered.path).parent / "kernel" / "Image").read_bytes() == kernel.read_bytes()
    with pytest.raises(banger.BangerError):
        store.register(kernel)
    store.remove_kernel("one")
    with pytest.raises(banger.NotFoundError):
        store.show_kernel("one")


def test_a_source_that_is_none(store: banger.Store, tmp_path: Path) -> None:
    with pytest.raises(banger.NotFoundError):
        store.import_kernel(tmp_path / "none.deb")
    text = tmp_path / "text"
    text.write_text("no kernel")
    with pytest.raises(banger.UnsupportedError, match="text"):
        store.import_kernel(text)
    with pytest.raises(banger.LimitError):
        store.import_kernel(image(tmp_path / "Image"), max_kernel_bytes=100)
    assert store.list_kernels()["kernels"] == []
