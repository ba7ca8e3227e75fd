#!/usr/bin/env python3
"""Makes the disk of a virtual machine.

usage: pull REFERENCE FILE HOSTNAME KEY ADDRESS GATEWAY [PROGRAM ARGUMENT...]

Pulls an image into FILE with a progress bar, writes hostname, ssh key and network into it, makes it boot,
and prints the image's record as JSON. PROGRAM is what runs in the machine if the image has no init. Ctrl-C
stops it and leaves no file. With SOURCE_DATE_EPOCH the disk is reproducible.

examples/c, examples/rust and examples/go/pull are the same program.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

import banger

WIDTH = 40


class Bar:
    """Shows on standard error how much of all layers is unpacked."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._is_drawn = False
        self._total = 0
        self._done: dict[int, int] = {}

    def __call__(self, event: banger.Event) -> None:
        if event.kind == "resolved":
            self._total = event.size_bytes
        elif event.kind == "layer-progress":
            self._done[event.layer] = event.done_bytes
            self._draw(min(sum(self._done.values()), self._total) * 100 // max(self._total, 1))
        elif event.kind in ("warning", "retry"):
            self.end_line()
            print(f"note: {event.message}", file=sys.stderr)
        elif event.kind == "done":
            self._draw(100)

    def _draw(self, percent: int) -> None:
        if self._is_terminal:
            filled = "#" * (percent * WIDTH // 100)
            print(f"\r[{filled:{WIDTH}}] {percent:3} %", end="", file=sys.stderr, flush=True)
            self._is_drawn = True

    def end_line(self) -> None:
        if self._is_drawn:
            print(file=sys.stderr)
        self._is_drawn = False


def main(
    reference: str, file: str, hostname: str, key: str, address: str, gateway: str, *program: str
) -> None:
    # What makes it boot comes below, in one commit with the rest.
    pulling: banger.PullOptions = {"inject": False}
    editing: banger.RootfsOptions = {}
    # The library does not read the environment for the time of what is written.
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        pulling["source_date_epoch"] = editing["source_date_epoch"] = int(epoch)
    bar = Bar()
    with banger.Store() as store:
        try:
            image = store.pull_to_file(reference, file, progress=bar, **pulling)
        finally:
            bar.end_line()
        with image:
            record = image.record
    # All that is the machine's own, or nothing.
    with banger.Rootfs(file, edit=True, **editing) as rootfs:
        rootfs.write("/etc/hostname", f"{hostname}\n")
        for path in ("/root", "/root/.ssh"):
            with contextlib.suppress(FileExistsError):
                rootfs.mkdir(path, mode=0o700)
        rootfs.write("/root/.ssh/authorized_keys", f"{key}\n", mode=0o600)
        rootfs.write_network(banger.NetworkConfig([address], gateways=[gateway], hostname=hostname))
        rootfs.inject(exec_argv=program)
        rootfs.commit()
    print(json.dumps(record, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    if len(sys.argv) < 7:
        print(__doc__.splitlines()[2], file=sys.stderr)
        sys.exit(2)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except banger.BangerError as error:
        print(f"error {error.code}: {error.message}", file=sys.stderr)
        if error.advice:
            print(f"  {error.advice}", file=sys.stderr)
        sys.exit(1)
