"""Pulls and builds in an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from conftest import SilentServer

import banger


def test_a_pull_lets_the_loop_go_on(store: banger.Store, layout: str) -> None:
    async def work() -> None:
        ticks = 0
        events: list[banger.Event] = []

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.ensure_future(tick())

        def progress(event: banger.Event) -> None:
            assert threading.current_thread() is threading.main_thread()
            events.append(event)

        with await store.pull_async(layout, progress=progress, size_bytes=64 << 20) as image:
            assert image.path.exists()
        ticking.cancel()
        assert ticks > 3
        assert events[-1].kind == "done"

    asyncio.run(work())


def test_eight_pulls_at_once(store: banger.Store, layout: str) -> None:
    async def work() -> None:
        pulls = (store.pull_async(layout, name=f"n{number % 3}", size_bytes=64 << 20) for number in range(8))
        images = await asyncio.gather(*pulls)
        assert len({image.id for image in images}) >= 3
        for image in images:
            image.close()

    asyncio.run(work())


def test_cancelling_the_asyncio_task_stops_the_pull(store: banger.Store, silent_server: SilentServer) -> None:
    async def work() -> None:
        silent_server.accepted.clear()
        pull = asyncio.ensure_future(store.pull_async(f"127.0.0.1:{silent_server.port}/a", plain_http=True))
        while not silent_server.accepted.is_set():
            await asyncio.sleep(0.01)
        pull.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(pull, 30)

    # What the store shares among its pulls is there after the first one.
    asyncio.run(work())
    files, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    for _ in range(5):
        asyncio.run(work())
    # The server keeps its end of a connection.
    assert len(os.listdir("/proc/self/fd")) <= files + 5
    assert len(os.listdir("/proc/self/task")) <= threads + 1
    assert store.list()["images"] == []


def test_a_timeout_stops_the_pull(store: banger.Store, silent_server: SilentServer) -> None:
    async def work() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(
                store.pull_async(f"127.0.0.1:{silent_server.port}/a", plain_http=True), 0.3
            )

    asyncio.run(work())


def test_failures_come_out_of_the_await(
    store: banger.Store, layout: str, silent_server: SilentServer
) -> None:
    class Oops(Exception):
        pass

    def progress(event: banger.Event) -> None:
        if event.kind == "idle":
            raise Oops

    async def work() -> None:
        with pytest.raises(banger.BangerError) as caught:
            await store.pull_async("oci:/nonexistent:a")
        assert caught.value.code == 117
        with pytest.raises(TypeError, match="nonsense"):
            await store.pull_async(layout, nonsense=1)  # type: ignore[call-arg]
        with pytest.raises(Oops):
            await store.pull_async(f"127.0.0.1:{silent_server.port}/a", plain_http=True, progress=progress)

    asyncio.run(work())


def test_a_file_and_a_build(store: banger.Store, layout: str, tmp_path: Path) -> None:
    async def work() -> None:
        with await store.pull_to_file_async(layout, tmp_path / "a.ext4") as image:
            assert image.path == tmp_path / "a.ext4"
        (tmp_path / "tree").mkdir()
        built = await banger.build_async(tmp_path / "tree", tmp_path / "b.ext4", size_bytes=16 << 20)
        assert built["path"] == str(tmp_path / "b.ext4")
        with pytest.raises(FileExistsError):
            await banger.build_async(tmp_path / "tree", tmp_path / "b.ext4")

    asyncio.run(work())
