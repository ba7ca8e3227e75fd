"""Pulls, the store and its cache."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from conftest import Registry, SilentServer

import banger


def test_a_pull_tells_its_steps_and_returns_the_image(store: banger.Store, layout: str) -> None:
    events: list[banger.Event] = []
    with store.pull(layout, progress=events.append, size_bytes=64 << 20) as image:
        assert image.path.stat().st_size == image.size_bytes == 64 << 20
        assert image.digest.startswith("sha256:")
        assert image.record["id"] == image.id
        assert image.record["path"] == str(image.path)
        assert not image.unchanged
        assert image.name in repr(image)
    kinds = [event.kind for event in events]
    assert {"resolving", "resolved", "layer-done", "building", "done"} <= set(kinds)
    assert kinds[-1] == "done"
    resolved = next(event for event in events if event.kind == "resolved")
    assert resolved.digest == image_digest(store)
    assert resolved.json["event"] == "resolved"
    assert "resolved" in repr(resolved)
    assert {event.layer for event in events if event.kind == "layer-done"} == {0, 1}
    with store.pull(layout, size_bytes=64 << 20) as again:
        assert again.unchanged


def image_digest(store: banger.Store) -> str:
    return str(store.list()["images"][0]["digest"])


def test_events_outlive_their_call(store: banger.Store, layout: str) -> None:
    events: list[banger.Event] = []
    store.pull(layout, progress=events.append).close()
    store.close()
    assert all(event.json["event"] == event.kind for event in events)


def test_a_pull_to_a_file_takes_paths(store: banger.Store, layout: str, tmp_path: Path) -> None:
    file = tmp_path / "ä disk.ext4"
    with store.pull_to_file(layout, file, inject=False) as image:
        assert image.path == file
    assert store.list()["images"] == []
    with pytest.raises(FileExistsError):
        store.pull_to_file(layout, file)
    store.pull_to_file(layout, str(file), force=True).close()


def test_a_pull_to_an_open_file_has_the_bytes_of_one_to_a_file(
    store: banger.Store, layout: str, tmp_path: Path
) -> None:
    store.pull_to_file(layout, tmp_path / "wanted", inject=False, size_bytes=64 << 20).close()
    wanted = (tmp_path / "wanted").read_bytes()
    with tempfile.TemporaryFile() as file:
        file.write(b"old bytes")
        with store.pull_to_fd(layout, file, inject=False, size_bytes=64 << 20) as image:
            assert str(image.path) == f"/dev/fd/{file.fileno()}"
            with image.rootfs() as rootfs:
                assert rootfs.read("/etc/hostname") == b"example\n"
        assert file.tell() == len(b"old bytes")
        file.seek(0)
        assert file.read() == wanted
    fd = os.memfd_create("disk")
    try:
        store.pull_to_fd(layout, fd, inject=False, size_bytes=64 << 20).close()
        assert os.pread(fd, 1 << 30, 0) == wanted
        made = asyncio.run(store.pull_to_fd_async(layout, fd, inject=False, size_bytes=64 << 20))
        made.close()
        assert os.pread(fd, 1 << 30, 0) == wanted
    finally:
        os.close(fd)


def test_an_open_file_is_empty_after_an_error(store: banger.Store, layout: str, tmp_path: Path) -> None:
    def progress(event: banger.Event) -> None:
        if event.kind.startswith("layer"):
            raise Oops

    path = tmp_path / "disk"
    path.write_bytes(b"old bytes")
    with path.open("r+b") as file:
        with pytest.raises(FileNotFoundError):
            store.pull_to_fd("oci:/nonexistent:a", file)
        assert path.read_bytes() == b"old bytes"
        with pytest.raises(Oops):
            store.pull_to_fd(layout, file, inject=False, progress=progress)
        assert path.read_bytes() == b""
        with pytest.raises(banger.BangerError) as caught:
            store.pull_to_fd(layout, file, inject=False, force=True)
        assert caught.value.code == 512
    with path.open("rb") as read_only, pytest.raises(banger.ArgumentError, match="reading and writing"):
        store.pull_to_fd(layout, read_only, inject=False)
    reader, writer = os.pipe()
    try:
        with pytest.raises(banger.ArgumentError, match="is a pipe"):
            store.pull_to_fd(layout, writer, inject=False)
    finally:
        os.close(reader)
        os.close(writer)
    with pytest.raises(banger.ArgumentError):
        store.pull_to_fd(layout, writer, inject=False)


def test_a_guest_binary_in_memory(store: banger.Store, layout: str) -> None:
    # The header of a static executable for amd64, the processor of the image.
    binary = b"\x7fELF\x02\x01".ljust(18, b"\0") + bytes([62]).ljust(46, b"\0")
    options: banger.PullOptions = {"platform": "linux/amd64", "init": "banger", "guest_binary": binary}
    for unchanged in (False, True):
        with store.pull(layout, **options) as image:
            assert image.unchanged == unchanged
            with image.rootfs() as rootfs:
                assert rootfs.read("/usr/local/bin/banger-vsock-agent") == binary
    options["guest_binary"] = binary + b"another"
    with store.pull(layout, **options) as image:
        assert not image.unchanged
    options["guest_binary"] = b"#!/bin/sh"
    with pytest.raises(banger.UnsupportedError, match="it is not an ELF file") as caught:
        store.pull(layout, **options)
    assert caught.value.code == 812
    options["guest_dir"] = "/nowhere"
    with pytest.raises(banger.ArgumentError):
        store.pull(layout, **options)


def test_the_images_of_a_store(store: banger.Store, layout: str, tmp_path: Path) -> None:
    store.pull(layout, name="one", size_bytes=64 << 20).close()
    with store.find("one") as image, store.clone("one", "two") as clone:
        assert clone.name == "two"
        assert clone.id != image.id
        assert clone.record["cloned_from"]["id"] == image.id
        with pytest.raises(banger.InUseError):
            store.remove("two")
    disk = tmp_path / "vm7.ext4"
    with store.clone(
        "one",
        str(disk),
        hostname="vm7",
        ssh_key=["ssh-ed25519 AAAA me"],
        clone_env=["PORT=80"],
        network_dns=["10.0.0.1"],
        clone_put=[f"{__file__}:/srv/test.py"],
    ) as clone:
        assert clone.path == disk
    with banger.Rootfs(disk) as rootfs:
        assert rootfs.read("/etc/hostname") == b"vm7\n"
        assert rootfs.read("/etc/environment") == b"PORT=80\n"
        assert rootfs.read("/root/.ssh/authorized_keys") == b"ssh-ed25519 AAAA me\n"
        assert rootfs.read("/srv/test.py") == Path(__file__).read_bytes()
    with pytest.raises(banger.ArgumentError):
        store.clone("one", "four", clone_identity="other")
    with store.clone("one", f"{tmp_path}/copy.ext4", clone_identity="keep") as clone:
        assert "ran" not in clone.record
    store.rename("two", "three")
    assert sorted(image["name"] for image in store.list()["images"]) == ["one", "three"]
    store.export("three", tmp_path / "three.ext4")
    with pytest.raises(FileExistsError):
        store.export("three", tmp_path / "three.ext4")
    store.export("three", tmp_path / "three.ext4", replace=True)
    assert store.verify("three")["problems"] == []
    store.remove("three")
    with pytest.raises(FileNotFoundError):
        store.find("three")


def test_a_pushed_image_is_pulled_byte_for_byte(store: banger.Store, layout: str, tmp_path: Path) -> None:
    target = f"oci:{tmp_path / 'artifact'}:small"
    with store.pull(layout, name="small", inject=False) as image:
        pushed = store.push("small", target, jobs=2)
        assert (pushed["sent_blobs"], pushed["present_blobs"]) == (pushed["windows"] + 1, 0)
        again = store.push("small", target)
        assert (again["sent_blobs"], again["digest"]) == (0, pushed["digest"])
        with store.pull(target, name="other") as pulled:
            assert pulled.path.read_bytes() == image.path.read_bytes()
            assert pulled.record["artifact"]["digest"] == pushed["digest"]
    with pytest.raises(FileNotFoundError):
        store.push("missing", target)
    with pytest.raises(banger.BangerError, match="not a repository"):
        store.push("small", target, mount_from="oci:somewhere")


def key_pair(place: Path, name: str) -> tuple[Path, Path]:
    """Makes a private and a public key."""
    private, public = place / f"{name}.key", place / f"{name}.pub"
    curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(["openssl", "genpkey", *curve, "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-pubout", "-in", private, "-out", public], check=True)
    return private, public


def test_a_signed_image_is_pulled_by_its_key(store: banger.Store, layout: str, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "own")
    _, other = key_pair(tmp_path, "other")
    target = f"oci:{tmp_path / 'artifact'}:small"
    statement = tmp_path / "provenance.json"
    with store.pull(layout, name="small", inject=False):
        pushed = store.push("small", target, sign_key=private, attest=statement)
        assert pushed["signature"].startswith("sha256:")
        said = json.loads(statement.read_text())
        assert said["subject"][0]["digest"]["sha256"] == pushed["digest"].removeprefix("sha256:")
        with store.pull(target, name="signed", verify_key=[public], referrers=True) as pulled:
            assert pulled.record["signatures"][0]["digest"] == pushed["digest"]
            assert pulled.record["referrers"][0]["digest"] == pushed["attestation"]
        with pytest.raises(banger.BangerError, match="is refused"):
            store.pull(target, name="refused", verify_key=[other])
        with pytest.raises(banger.BangerError, match="goes with"):
            store.push("small", target, sign_password="secret")


def test_a_committed_disk_is_pulled_again(store: banger.Store, layout: str, tmp_path: Path) -> None:
    disk, target = tmp_path / "disk.ext4", f"oci:{tmp_path / 'committed'}:1"
    with store.pull(layout, name="base", inject=False) as base:
        layers = len(base.record["layers"])
    store.export("base", disk)
    with banger.Rootfs(disk, edit=True) as rootfs:
        rootfs.write("/new", b"new\n")
        rootfs.commit()
    options: banger.CommitOptions = {"source_date_epoch": 1_700_000_000, "commit_message": "why"}
    committed = store.commit(str(disk), "base", target, **options)
    assert (committed["base"], committed["base_layers"]) == ("base", layers)
    again = store.commit(str(disk), "base", target, **options)
    assert (again["sent_blobs"], again["digest"]) == (0, committed["digest"])
    with store.pull(target, name="again", inject=False) as pulled, banger.Rootfs(pulled.path) as rootfs:
        assert rootfs.read("/new") == b"new\n"
    whole = store.commit(str(disk), "base", target, commit_squash=True, commit_compression="zstd")
    assert whole["base_layers"] == 0
    with pytest.raises(FileNotFoundError):
        store.commit(str(disk), "missing", target)
    with pytest.raises(banger.BangerError, match="gzip"):
        store.commit(str(disk), "base", target, commit_compression="xz")


def test_a_lease_keeps_an_image_that_is_replaced(store: banger.Store, layout: str) -> None:
    with store.pull(layout, name="a", size_bytes=64 << 20) as old:
        with store.pull(layout, name="a", size_bytes=80 << 20) as new:
            assert new.path != old.path
            assert old.path.exists()


def test_the_cache(store: banger.Store, registry: Registry) -> None:
    store.pull(registry.reference, plain_http=True).close()
    blobs = store.cache_list()["blobs"]
    assert len(blobs) >= 2
    assert store.cache_prune()["removed"] == []
    assert store.cache_prune(all=True, dry_run=True)["dry_run"] is True
    assert store.cache_verify()["damaged"] == []
    assert len(store.cache_prune(all=True)["removed"]) == len(blobs)
    assert store.cache_list()["blobs"] == []


def test_images_are_pruned_by_choice(store: banger.Store, registry: Registry) -> None:
    store.pull(registry.reference, plain_http=True, name="one").close()
    with store.pull(registry.reference, plain_http=True, name="two"):
        with pytest.raises(banger.ArgumentError):
            store.prune()
        pruned = store.prune(all=True)
        assert [image["name"] for image in pruned["removed"]] == ["one"]
        assert [image["name"] for image in pruned["in_use"]] == ["two"]
    assert store.prune(keep=["two"])["kept"] == 1


def test_an_image_without_a_signature_is_refused(
    store: banger.Store, registry: Registry, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "reject"}]}')
    with pytest.raises(banger.AccessError) as caught:
        store.pull(registry.reference, plain_http=True, policy=policy)
    assert caught.value.code == 1226
    with pytest.raises(banger.ArgumentError) as wrong:
        store.pull(registry.reference, plain_http=True, verify_key=[policy])
    assert wrong.value.code == 1229


def test_a_blob_that_comes_in_is_told(store: banger.Store, registry: Registry) -> None:
    registry.pause_s = 0.01
    events: list[banger.Event] = []
    store.pull(registry.reference, plain_http=True, progress=events.append).close()
    progress = [event for event in events if event.kind == "blob-progress"]
    assert progress
    assert all(0 <= event.done_bytes <= event.size_bytes for event in progress)
    assert all(event.digest.startswith("sha256:") for event in progress)


class Oops(Exception):
    pass


@pytest.mark.parametrize("at", ["resolving", "resolved", "layer-progress", "building", "idle"])
def test_what_a_progress_function_raises_comes_out(
    store: banger.Store, layout: str, silent_server: SilentServer, at: str
) -> None:
    def progress(event: banger.Event) -> None:
        if event.kind == at:
            raise Oops(at)

    reference = f"127.0.0.1:{silent_server.port}/a" if at == "idle" else layout
    with pytest.raises(Oops, match=at):
        store.pull(reference, progress=progress, plain_http=at == "idle")
    assert store.list()["images"] == []


def test_another_thread_cancels_a_pull(store: banger.Store, silent_server: SilentServer) -> None:
    stop = banger.Cancellation()
    cancelled_at = []

    def cancel() -> None:
        silent_server.accepted.wait()
        cancelled_at.append(time.monotonic())
        stop.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(banger.CancelledError) as caught:
        store.pull(f"127.0.0.1:{silent_server.port}/a", plain_http=True, cancel=stop)
    # It takes 200 ms; the bound is for machines under load.
    assert time.monotonic() - cancelled_at[0] < 10
    thread.join()
    assert (caught.value.code, caught.value.kind) == (505, "cancelled")
    with pytest.raises(banger.CancelledError):
        store.pull("oci:/nonexistent:a", cancel=stop)


def test_eight_threads_share_a_store(store: banger.Store, layout: str) -> None:
    failures: list[BaseException] = []
    identities: set[str] = set()

    def work(number: int) -> None:
        seen = []
        try:
            for turn in range(3):
                name = f"image-{(number + turn) % 4}"

                def progress(event: banger.Event) -> None:
                    seen.append(threading.get_ident())

                with store.pull(layout, name=name, progress=progress, size_bytes=64 << 20) as image:
                    with image.rootfs() as rootfs:
                        assert rootfs.read("/etc/hostname") == b"example\n"
                    identities.add(image.id)
            assert set(seen) == {threading.get_ident()}
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.list()["images"]) == 4
    assert len(identities) >= 4


def test_a_store_that_is_closed_says_so(layout: str, tmp_path: Path) -> None:
    store = banger.Store(tmp_path / "state", tmp_path / "cache")
    store.close()
    store.close()
    with pytest.raises(ValueError, match="this Store is closed"):
        store.pull(layout)


def test_a_pull_outlives_its_store_and_its_flag(tmp_path: Path, silent_server: SilentServer) -> None:
    store = banger.Store(tmp_path / "state", tmp_path / "cache")
    stop = banger.Cancellation()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            store.pull(f"127.0.0.1:{silent_server.port}/a", plain_http=True, attempts=1, cancel=stop)
        except banger.BangerError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    silent_server.accepted.wait()
    store.close()
    stop.close()
    assert thread.is_alive()
    with pytest.raises(ValueError, match="closed"):
        stop.cancel()
    silent_server.close()
    thread.join()
    assert isinstance(raised[0], banger.NetworkError)
