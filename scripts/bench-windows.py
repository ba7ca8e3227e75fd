#!/usr/bin/env python3
"""Measures how much two versions of an ext4 image share, in windows of several sizes.

usage: scripts/bench-windows.py OLD.ext4 NEW.ext4 [OLD.ext4 NEW.ext4 ...]

Prints one line for each pair: the bytes of all windows of NEW after zstd, and for each size of windows the number of
all windows, and the bytes of those that OLD does not have. Needs the module `zstandard`. The figures of docs/fleet.md
come from here.
"""

import hashlib
import os
import sys

import zstandard

SIZES = [1 << 20, 2 << 20, 4 << 20, 8 << 20]
LEVEL = 3
MIB = 1 << 20


def windows(path, size):
    """Yields the windows of a file that are not zeros only."""
    length = os.path.getsize(path)
    with open(path, "rb") as file:
        at = 0
        while at < length:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            at -= at % size
            file.seek(at)
            window = file.read(size)
            if window.strip(b"\0"):
                yield window
            at += size


def changed(old, new, size):
    """Returns the windows of `new`, their bytes after zstd, and those of the windows that `old` lacks."""
    known = {hashlib.blake2b(window).digest() for window in windows(old, size)}
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    count, total, missing = 0, 0, 0
    for window in windows(new, size):
        blob = len(compressor.compress(window))
        count += 1
        total += blob
        if hashlib.blake2b(window).digest() not in known:
            missing += blob
    return count, total, missing


def main(paths):
    """Prints the table."""
    if not paths or len(paths) % 2:
        sys.exit(__doc__)
    print("| pair | " + " | ".join(f"{size // MIB} MiB: windows, all, changed" for size in SIZES) + " |")
    print("|---|" + "---:|" * len(SIZES))
    for old, new in zip(paths[::2], paths[1::2]):
        cells = []
        for size in SIZES:
            count, total, missing = changed(old, new, size)
            cells.append(f"{count}, {total / MIB:.1f}, {missing / MIB:.1f}")
        print(f"| {os.path.basename(new)} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
