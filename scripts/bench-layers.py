#!/usr/bin/env python3
"""Writes the layers of the benchmarks' image: about 700 MB in 40,000 files.

usage: bench-layers.py LAYOUT OUT_DIR

The bytes come from the regular files of the image in LAYOUT (an OCI layout with
gzip layers), cut and recombined by a fixed pseudo-random sequence: they compress
as Debian's do, and the same LAYOUT gives the same tars everywhere.
"""

import gzip
import io
import json
import os
import random
import sys
import tarfile

FILES = 40_000
TOTAL_BYTES = 700_000_000
# Shares of the files in each layer, base first.
SHARES = (0.6, 0.25, 0.15)
MTIME = 1_700_000_000
SLICE = 64 * 1024


def pool(layout):
    """The contents of LAYOUT's files, text and binary apart."""

    def blob(digest):
        return os.path.join(layout, "blobs", *digest.split(":"))

    def load(path):
        with open(path, "rb") as file:
            return json.load(file)

    index = load(os.path.join(layout, "index.json"))
    manifest = load(blob(index["manifests"][0]["digest"]))
    text, binary = [], []
    for layer in manifest["layers"]:
        with gzip.open(blob(layer["digest"])) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    if not member.isreg() or member.size == 0:
                        continue
                    data = tar.extractfile(member).read()
                    (binary if b"\0" in data[:4096] else text).append(data)
    return b"".join(text), b"".join(binary)


def sizes(rng):
    """FILES sizes with the long tail of a distribution's, TOTAL_BYTES together."""
    drawn = [rng.lognormvariate(8.2, 1.9) for _ in range(FILES)]
    factor = TOTAL_BYTES / sum(drawn)
    return [int(size * factor) for size in drawn]


def content(rng, source, size):
    """SIZE bytes out of SOURCE, in slices from anywhere."""
    parts = []
    while size > 0:
        length = min(size, SLICE)
        start = rng.randrange(len(source) - length)
        parts.append(source[start : start + length])
        size -= length
    return b"".join(parts)


def entry(name, kind=tarfile.REGTYPE, size=0, mode=0o644):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = size
    info.mode = mode
    info.mtime = MTIME
    return info


def main():
    layout, out = sys.argv[1:]
    os.makedirs(out)
    rng = random.Random(0x6261_6E67)
    text, binary = pool(layout)
    drawn = sizes(rng)
    written = []
    directories = set()
    first = 0
    for number, share in enumerate(SHARES):
        last = FILES if number == len(SHARES) - 1 else first + int(FILES * share)
        path = os.path.join(out, f"{number}.tar")
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            # A later layer hides some of what is below: one file in fifty is
            # replaced, one in a hundred removed.
            for name in written:
                lot = rng.random()
                if lot < 0.01:
                    parent, base = os.path.split(name)
                    tar.addfile(entry(f"{parent}/.wh.{base}"))
                elif lot < 0.03:
                    size = rng.randrange(1, 40_000)
                    data = content(rng, text, size)
                    tar.addfile(entry(name, size=size), io.BytesIO(data))
            for index in range(first, last):
                directory = f"srv/{number}/{index // 1000:02}/{index // 25:04}"
                parts = directory.split("/")
                for depth in range(1, len(parts) + 1):
                    parent = "/".join(parts[:depth])
                    if parent not in directories:
                        directories.add(parent)
                        tar.addfile(entry(parent, tarfile.DIRTYPE, mode=0o755))
                is_text = rng.random() < 0.6
                name = f"{directory}/file-{index:05}.{'txt' if is_text else 'bin'}"
                data = content(rng, text if is_text else binary, drawn[index])
                tar.addfile(entry(name, size=len(data)), io.BytesIO(data))
                written.append(name)
        first = last


if __name__ == "__main__":
    main()
