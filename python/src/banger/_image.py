"""An image that was pulled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ._native import Handle, library
from ._rootfs import Rootfs


class Image(Handle):
    """An ext4 file and what is known of it.

    A managed image stays at its path until the object is closed, also where another process removes or
    replaces it meanwhile.
    """

    _free = "banger_image_free"

    def _text(self, function: str) -> str:
        with self._use() as pointer:
            return str(getattr(library, function)(pointer).decode("utf-8"))

    @property
    def path(self) -> Path:
        """The ext4 file."""
        return Path(self._text("banger_image_path"))

    @property
    def id(self) -> str:
        """The id of the image."""
        return self._text("banger_image_id")

    @property
    def name(self) -> str:
        """The name in the store; "" for a file of the caller's."""
        return self._text("banger_image_name")

    @property
    def digest(self) -> str:
        """The digest of the image's manifest."""
        return self._text("banger_image_digest")

    @property
    def size_bytes(self) -> int:
        """The size of the file system in bytes."""
        with self._use() as pointer:
            return int(library.banger_image_size_bytes(pointer))

    @property
    def unchanged(self) -> bool:
        """Whether a pull found the image there already."""
        with self._use() as pointer:
            return bool(library.banger_image_is_unchanged(pointer))

    @property
    def record(self) -> dict[str, Any]:
        """The document of `banger image show --json`, parsed; docs/json.md lists its fields."""
        made: dict[str, Any] = json.loads(self._text("banger_image_json"))
        return made

    def rootfs(self, *, edit: bool = False) -> Rootfs:
        """Opens the file system of the image."""
        return Rootfs(self.path, edit=edit)

    def __repr__(self) -> str:
        return "<Image (closed)>" if self._is_closed else f"<Image {self.name or self.path} {self.digest}>"
