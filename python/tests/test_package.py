"""The package as a whole: against the header, as it is installed, and by the example."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Registry

import banger
from banger import _abi, _native, _options

SOURCE = Path(os.environ.get("BANGER_SOURCE", Path(__file__).resolve().parents[2]))


def test_the_library_is_the_one_of_the_package() -> None:
    assert banger.version() == banger.__version__
    assert "e2fsprogs" in banger.features()
    if "site-packages" in banger.__file__ and "BANGER_LIBRARY" not in os.environ:
        assert Path(_native.library._name).parent == Path(banger.__file__).parent


def test_another_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.so").write_bytes(b"")
    for library, message in (("libc.so.6", "no banger_"), (str(tmp_path / "empty.so"), "cannot load")):
        environment = {**os.environ, "BANGER_LIBRARY": library}
        command = [sys.executable, "-c", "import banger"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert message in done.stderr.splitlines()[-1]


def test_a_child_leaves_the_objects_of_its_parent_alone(tmp_path: Path, layout: str) -> None:
    program = """
import banger, os, sys
store = banger.Store(sys.argv[1] + "/state", sys.argv[1] + "/cache")
image = store.pull(sys.argv[2], size_bytes=64 << 20)
child = os.fork()
if child == 0:
    try:
        store.list()
    except RuntimeError as error:
        print(error)
    image.close()
    del store, image
    # The child may use the library for itself.
    with banger.Store(sys.argv[1] + "/state", sys.argv[1] + "/cache") as own:
        own.pull(sys.argv[2], size_bytes=64 << 20).close()
    sys.exit(7)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), image.path.exists())
"""
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path), layout]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "this Store belongs to the process that forked this one\n7 True\n"


def test_every_option_of_the_library_can_be_given() -> None:
    given = set()
    for kind in (
        banger.PullOptions,
        banger.InspectOptions,
        banger.ConnectionOptions,
        banger.LogoutOptions,
        banger.BuildOptions,
        banger.KernelOptions,
        banger.KernelPackOptions,
        banger.KernelPullOptions,
        banger.CheckOptions,
        banger.BootPlanOptions,
        banger.VmRunOptions,
        banger.ImageBuildOptions,
        banger.PushOptions,
        banger.CommitOptions,
        banger.CloneOptions,
        banger.PruneOptions,
        banger.ImagePruneOptions,
        banger.RootfsOptions,
        banger.InjectOptions,
        banger.GuestOptions,
    ):
        given |= set(kind.__annotations__)
        for parent in kind.__mro__:
            given |= set(getattr(parent, "__annotations__", {}))
    given |= {f"exec_{name}" for name in banger.ExecOptions.__annotations__} | {"exec_stdin"}
    given |= {f"put_{name}" for name in banger.PutOptions.__annotations__}
    # `path` is where a search starts.
    given |= {f"find_{name.removeprefix('whole_')}" for name in banger.FindOptions.__annotations__}
    given |= {"usage_detail"}
    given |= {"copy_mode", "copy_uid", "copy_gid", "copy_parents", "network_persist", "build_step"}
    given |= set(banger.NetworkConfig()._options())
    assert given == set(_options._NUMBERS)


def test_every_function_of_the_library_is_used() -> None:
    sources = "".join(file.read_text() for file in Path(banger.__file__).parent.glob("_[!a]*.py"))
    # The blocking calls are tasks here; the rest has a better way in Python.
    otherwise = {
        "banger_build",
        "banger_error_advice",
        "banger_error_code",
        "banger_error_kind",
        "banger_error_message",
        "banger_pull",
        "banger_pull_to_fd",
        "banger_pull_to_file",
        "banger_rootfs_entry",
        "banger_rootfs_xattr",
    }
    unused = {name for name in _abi.FUNCTIONS if not re.search(rf"\b{name}\b", sources)}
    assert unused == otherwise


def test_all_names_have_a_description() -> None:
    for name in banger.__all__:
        made = getattr(banger, name)
        if getattr(made, "__module__", "") == "banger":
            assert made.__doc__, name


@pytest.mark.skipif(not (SOURCE / "examples/python/pull.py").exists(), reason="without the sources")
class TestExample:
    def command(self, reference: str, tmp_path: Path) -> list[str]:
        rest = ["vm1", "ssh-ed25519 AAAA user", "10.0.0.2/24", "10.0.0.1"]
        example = str(SOURCE / "examples/python/pull.py")
        return [sys.executable, example, reference, str(tmp_path / "vm1.ext4"), *rest]

    def environment(self, tmp_path: Path) -> dict[str, str]:
        directories = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        return {**os.environ, **directories}

    def test_it_makes_a_disk(self, layout: str, tmp_path: Path) -> None:
        environment = self.environment(tmp_path)
        done = subprocess.run(
            self.command(layout, tmp_path), env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["digest"].startswith("sha256:")
        with banger.Rootfs(tmp_path / "vm1.ext4") as rootfs:
            assert rootfs.read("/etc/hostname") == b"vm1\n"
            assert rootfs.read("/root/.ssh/authorized_keys") == b"ssh-ed25519 AAAA user\n"
            assert "10.0.0.2/24" in rootfs.read_text("/etc/banger-network.conf")
            assert rootfs.exists("/usr/local/bin/banger-vsock-agent")
            assert rootfs.verify()["problems"] == []

    def test_an_interrupt_leaves_nothing(self, registry: Registry, tmp_path: Path) -> None:
        registry.pause_s = 0.2
        command = self.command(registry.reference, tmp_path)
        process = subprocess.Popen(
            command, env=self.environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert registry.sending.wait(60)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output, errors) == (130, b"", b"")
        assert not (tmp_path / "vm1.ext4").exists()
        assert not list((tmp_path / "state").glob("**/rootfs.ext4"))

    def test_an_error_is_one_line(self, tmp_path: Path) -> None:
        command = self.command("oci:/nonexistent:a", tmp_path)
        environment = self.environment(tmp_path)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert re.fullmatch(r"error 117: .*\n", done.stderr)
