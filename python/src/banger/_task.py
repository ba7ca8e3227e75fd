"""Work of the library whose events Python takes, one after the other.

A task needs no function of Python that C calls. So signals reach the main thread between two steps, and an
exception of a progress function is an exception of this loop.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ._event import Event
from ._native import Handle, call, json_of, library

if TYPE_CHECKING:
    import asyncio

    from ._event import Progress
    from ._image import Image

# The longest step: so long it takes until Ctrl-C is seen.
_STEP_MS = 200

R = TypeVar("R")


class Task(Handle):
    """Work on a thread of the library. Closing it cancels the work and waits for its end."""

    _free = "banger_task_free"

    @classmethod
    def start(cls, name: str, *arguments: Any) -> Task:
        """Starts the work."""
        pointer = ctypes.c_void_p()
        call(name, *arguments, ctypes.byref(pointer))
        return cls(pointer)

    def _next(self, timeout_ms: int) -> Event | None:
        """Returns the next event, "idle" where none comes in time, and `None` after the last."""
        event = ctypes.c_void_p()
        with self._use() as task:
            call("banger_task_next", task, timeout_ms, ctypes.byref(event))
            return Event(event) if event else None

    def drive(self, progress: Progress | None) -> None:
        """Takes all events, and calls `progress` with each."""
        while (event := self._next(_STEP_MS)) is not None:
            if progress is not None:
                progress(event)

    async def driven(self, progress: Progress | None, result: Callable[[], R]) -> R:
        """As `drive`, while the event loop goes on; then returns what `result` does, and closes the task."""
        # Programs without an event loop need not wait until it is loaded.
        import asyncio

        loop = asyncio.get_running_loop()
        try:
            await self._take_all(loop, progress)
        except BaseException:
            # The end of work that is cancelled is waited for on a thread: the loop does not stop for it.
            await asyncio.shield(loop.run_in_executor(None, self.close))
            raise
        with self:
            return result()

    async def _take_all(self, loop: asyncio.AbstractEventLoop, progress: Progress | None) -> None:
        import asyncio

        awake = asyncio.Event()
        with self._use() as task:
            fd = library.banger_task_fd(task)
            loop.add_reader(fd, awake.set)
            try:
                while (event := self._next(0)) is not None:
                    if event.kind != "idle":
                        if progress is not None:
                            progress(event)
                        # A long row of events is no reason to let nobody else run.
                        await asyncio.sleep(0)
                    elif await _is_late(loop, awake) and progress is not None:
                        progress(event)
            finally:
                loop.remove_reader(fd)

    def image(self) -> Image:
        """Waits for the end of a pull, and returns its image."""
        from ._image import Image

        made = ctypes.c_void_p()
        with self._use() as task:
            call("banger_task_finish_image", task, ctypes.byref(made))
        return Image(made)

    def document(self) -> dict[str, Any]:
        """Waits for the end of a build, and returns its document."""
        with self._use() as task:
            made: dict[str, Any] = json_of("banger_task_finish_json", task)
        return made


async def _is_late(loop: asyncio.AbstractEventLoop, awake: asyncio.Event) -> bool:
    """Waits for `awake`, for one step at most, and returns whether it did not come.

    `asyncio.wait_for` does not do: before Python 3.12 it loses a cancellation that comes with the event.
    """
    is_late = False

    def ring() -> None:
        nonlocal is_late
        is_late = True
        awake.set()

    awake.clear()
    timer = loop.call_later(_STEP_MS / 1000, ring)
    try:
        await awake.wait()
    finally:
        timer.cancel()
    return is_late
