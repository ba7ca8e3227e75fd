#!/usr/bin/env python3
"""Measures how much the next version of an image moves, for pairs of container images.

usage: scripts/bench-versions.py BANGER OLD NEW [OLD NEW ...]

Pulls both images of each pair with the program BANGER, pushes them one after the other to the same OCI layout, and prints a
line: the windows of NEW, the bytes of all of them, and the windows and bytes that were sent because OLD does not have
them. The table of docs/fleet.md comes from here.
"""

import json
import os
import subprocess
import sys
import tempfile

MIB = 1 << 20


def pushed(banger, image, directory):
    """Pulls an image, pushes the result, and returns the report of the push."""
    environment = dict(os.environ, BANGER_STATE_DIR=f"{directory}/state", BANGER_CACHE_DIR=f"{directory}/cache")

    def run(*arguments):
        return subprocess.run([banger, *arguments], env=environment, check=True, stdout=subprocess.PIPE).stdout

    run("image", "pull", "--quiet", "--name", "version", image)
    return json.loads(run("image", "push", "--json", "version", f"oci:{directory}/layout:version"))


def main(banger, images):
    """Prints the table."""
    print("| new version | windows | MiB | sent windows | sent MiB |")
    print("|---|---:|---:|---:|---:|")
    for old, new in zip(images[::2], images[1::2]):
        with tempfile.TemporaryDirectory() as directory:
            pushed(banger, old, directory)
            report = pushed(banger, new, directory)
        # The configuration is sent, too.
        sent = report["sent_blobs"] - 1
        cells = [report["windows"], f"{report['blob_bytes'] / MIB:.1f}", sent, f"{report['sent_bytes'] / MIB:.1f}"]
        print(f"| {new} | " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 4 or len(sys.argv) % 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
