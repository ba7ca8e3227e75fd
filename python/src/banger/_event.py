"""What a call tells while it goes on."""

from __future__ import annotations

import json
from typing import Any, Callable

from . import _abi
from ._native import library

_NAMES = {
    value: name[len("BANGER_EVENT_") :].lower().replace("_", "-")
    for name, value in vars(_abi).items()
    if name.startswith("BANGER_EVENT_")
}


class Event:
    """One event of a pull or a build. It stays valid after the progress function has returned."""

    __slots__ = ("_document", "digest", "done_bytes", "kind", "layer", "message", "size_bytes")

    kind: str
    """What the event tells: "resolved", "blob-progress", "layer-done", "warning" and others, as in
    docs/json.md; "idle" where nothing happened for 200 ms. Expect kinds that you do not know."""
    done_bytes: int
    """The bytes that are done, where the event tells of bytes; else 0."""
    size_bytes: int
    """The bytes in all, where the event tells of bytes; else 0."""
    layer: int
    """The position of the layer, 0 for the base, where the event tells of a layer; else 0."""
    digest: str
    """The digest of the image or blob that the event tells of; else ""."""
    message: str
    """The text of a warning or of a request that is tried again; else ""."""

    def __init__(self, pointer: Any) -> None:
        self.kind = _NAMES.get(library.banger_event_kind(pointer), "other")
        self.done_bytes = library.banger_event_done_bytes(pointer)
        self.size_bytes = library.banger_event_size_bytes(pointer)
        self.layer = library.banger_event_layer(pointer)
        self.digest = library.banger_event_digest(pointer).decode("utf-8", "replace")
        self.message = library.banger_event_message(pointer).decode("utf-8", "replace")
        self._document: bytes = library.banger_event_json(pointer)

    @property
    def json(self) -> dict[str, Any]:
        """The event as `banger --progress json` prints it, parsed."""
        made: dict[str, Any] = json.loads(self._document)
        return made

    def __repr__(self) -> str:
        return f"Event({self._document.decode('utf-8', 'replace')})"


Progress = Callable[[Event], object]
"""A function that is told of each event. It runs on the thread that made the call. An exception that it
raises cancels the call and comes out of it."""
