"""Machines that do not start. What needs a machine is shown by the boots."""

from __future__ import annotations

import pytest

import banger


def test_a_run_that_cannot_start(store: banger.Store) -> None:
    with pytest.raises(banger.NotFoundError, match="none"):
        store.run_vm("none", ["true"], env={"A": "1"}, vm_forward=["8080:80"], boot_cpus=2)
    with pytest.raises(banger.ArgumentError, match="8080"):
        store.run_vm("none", ["true"], vm_forward=["8080"])
    with pytest.raises(banger.ArgumentError):
        store.run_vm("none", [])


def test_a_build_that_cannot_start(store: banger.Store) -> None:
    with pytest.raises(banger.NotFoundError, match="none"):
        store.build_image("none", "new", ["run:true", "env:A=1"], build_no_cache=True, vm_qemu="/no/such")
    with pytest.raises(banger.ArgumentError, match="walk"):
        store.build_image("none", "new", ["walk"])
    with pytest.raises(banger.ArgumentError):
        store.build_image("none", "a/b", [])
