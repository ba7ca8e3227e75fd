"""Checks, boot plans and the examination of the host."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_kernel import image as kernel_image

import banger


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    path = tmp_path / "disk.ext4"
    banger.build(source, path, size_bytes=16 << 20)
    return path


def test_a_check_says_what_is_missing(store: banger.Store, tmp_path: Path, disk: Path) -> None:
    with pytest.raises(banger.NotFoundError, match="no kernel"):
        store.check_kernel(disk)
    config = tmp_path / "config"
    config.write_text("CONFIG_EXT4_FS=y\n")
    store.import_kernel(kernel_image(tmp_path / "Image"), name="one", kernel_config=config)
    check = store.check_kernel(disk, vmm="firecracker", check_for=["k3s"])
    assert (check["outcome"], check["vmm"], check["profiles"]) == ("error", "firecracker", ["k3s"])
    found = {
        tuple(finding.get("names", [finding["subject"]])): finding["outcome"] for finding in check["findings"]
    }
    assert found["EXT4_FS",] == "ok"
    assert found["VIRTIO_MMIO",] == "error"
    assert found["VXLAN",] == "error"
    assert found["init",] == "error"
    assert check["findings"][0]["outcome"] == "error"
    with pytest.raises(banger.ArgumentError, match="xen"):
        store.check_kernel(disk, vmm="xen")
    with pytest.raises(banger.NotFoundError):
        store.check_kernel(disk, "none")


def test_a_plan_for_each_monitor(store: banger.Store, tmp_path: Path, disk: Path) -> None:
    store.import_kernel(kernel_image(tmp_path / "Image"), name="one")
    network = banger.NetworkConfig(["10.0.0.2/24"], gateways=["10.0.0.1"], dns=["9.9.9.9"], hostname="web")
    made = store.boot_plan(disk, "one", network=network, boot_cpus=2, boot_append=["quiet"])
    assert made["command"][0] == "qemu-system-aarch64"
    line = made["plan"]["command_line"]
    assert line.endswith("quiet")
    assert "banger.net.address=10.0.0.2/24" in line
    for vmm in ("firecracker", "libkrun", "vz"):
        assert store.boot_plan(disk, vmm=vmm)["configuration"]
    assert store.boot_plan(disk, vmm="cloud-hypervisor")["command"][0] == "cloud-hypervisor"
    with pytest.raises(banger.ArgumentError):
        store.boot_plan(disk, vmm="firecracker", boot_cpus=3)


def test_the_host_is_examined(store: banger.Store) -> None:
    report = store.doctor()
    assert report["usable"] is True
    names = [item["name"] for item in report["items"]]
    assert names[:2] == ["state directory", "cache directory"]
    assert "qemu-system-x86_64" in names
