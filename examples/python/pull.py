#!/usr/bin/env python3
"""Pulls an image, and gives the disk of one virtual machine its hostname, key and network.

usage: pull.py REFERENCE FILE HOSTNAME KEY ADDRESS GATEWAY

REFERENCE is "debian:bookworm" or "oci:DIR:TAG", KEY a line of authorized_keys, ADDRESS "10.0.0.2/24".
Prints the record of the image as JSON. Ctrl-C stops the pull and leaves nothing behind.
"""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import banger


class ProgressBar:
    """Draws what comes in, as one line on standard error."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._is_shown = sys.stderr.isatty()

    def __call__(self, event: banger.Event) -> None:
        if event.kind in ("blob-started", "blob-progress"):
            self._sizes[event.digest] = event.size_bytes
            self._done[event.digest] = event.done_bytes
        elif event.kind == "blob-done":
            self._done[event.digest] = self._sizes.get(event.digest, 0)
        elif event.kind in ("warning", "retry"):
            self._line("")
            print(f"{event.kind}: {event.message}", file=sys.stderr)
        if event.kind == "done":
            self._line("")
        elif event.kind == "building":
            self._line("writing the file system")
        elif self._sizes:
            self._draw()

    def _draw(self) -> None:
        done, size = sum(self._done.values()), max(1, sum(self._sizes.values()))
        width = max(10, shutil.get_terminal_size().columns - 24)
        filled = width * done // size
        self._line(f"[{'#' * filled}{'.' * (width - filled)}] {done >> 20}/{size >> 20} MiB")

    def _line(self, text: str) -> None:
        if self._is_shown:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def program_of(record: dict[str, Any]) -> banger.InjectOptions:
    """Returns what the guest runs: what a container of the image would."""
    config = record["config"]
    options: banger.InjectOptions = {
        "exec_argv": [*(config.get("entrypoint") or []), *(config.get("cmd") or [])],
        "exec_env": config.get("env") or [],
    }
    if config.get("user"):
        options["exec_user"] = config["user"]
    if config.get("working_dir"):
        options["exec_working_dir"] = config["working_dir"]
    return options


def main(reference: str, file: str, hostname: str, key: str, address: str, gateway: str) -> None:
    network = banger.NetworkConfig(addresses=[address], gateways=[gateway], hostname=hostname)
    # The programs of the guest come below, in one commit with the rest.
    with banger.Store() as store, store.pull(reference, progress=ProgressBar(), inject=False) as image:
        store.export(image.id, file)
        record = image.record
    with banger.Rootfs(file, edit=True) as rootfs:
        rootfs.write("/etc/hostname", f"{hostname}\n")
        rootfs.makedirs("/root/.ssh", mode=0o700)
        rootfs.write("/root/.ssh/authorized_keys", f"{key}\n", mode=0o600)
        rootfs.write_network(network)
        rootfs.inject(**program_of(record))
        rootfs.commit()
    json.dump(record, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except banger.BangerError as error:
        sys.exit(f"error: {error}")
