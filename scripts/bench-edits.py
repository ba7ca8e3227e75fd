#!/usr/bin/env python3
"""Compares the editor of banger with debugfs: the same 1,000 edits of an ext4 file, whole and killed.

usage: scripts/bench-edits.py BANGER [--runs N] [--kills N] [--seed N] [--directory DIR]

Needs root (it mounts the images read-only, so that the kernel says what they contain), e2fsprogs and strace. Prints
the tables of "Edits beside debugfs" in docs/benchmarks.md. It works in a new directory in DIR (the directory for
temporary files), and removes it.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

KIB, MIB = 1 << 10, 1 << 20
IMAGE_BYTES = 256 * MIB
MTIME = 1_700_000_000
WRITES = "write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,fallocate"


def run(*words, **options):
    """Runs a program and returns what it printed; fails if the program fails."""
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options).stdout


# ---- the edits ----------------------------------------------------------------------------------


def make_base(rng, place):
    """Makes the image that is edited: 600 files in 20 directories."""
    tree = os.path.join(place, "tree")
    os.makedirs(f"{tree}/new")
    for number in range(600):
        directory = f"{tree}/srv/{number % 20:02}"
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/f{number:03}", "wb") as file:
            file.write(rng.randbytes(rng.randrange(200, 30 * KIB)))
    for directory, _, names in os.walk(tree):
        for name in names:
            os.utime(os.path.join(directory, name), (MTIME, MTIME))
    base = os.path.join(place, "base.ext4")
    size = f"{IMAGE_BYTES // KIB}k"
    run("mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-E", "root_owner=0:0", "-d", tree, base, size)
    return base


def make_edits(rng, place):
    """Returns 1,000 edits, each a tuple that begins with its kind. No two change the same thing."""
    sources = os.path.join(place, "sources")
    os.makedirs(sources)
    old = [f"/srv/{number % 20:02}/f{number:03}" for number in range(600)]
    rng.shuffle(old)
    directories = [f"/new/d{number:03}" for number in range(100)]
    edits = []

    def write(number, size):
        source = f"{sources}/{number}"
        with open(source, "wb") as file:
            file.write(rng.randbytes(size))
        os.chmod(source, 0o644)
        edits.append(("write", f"{rng.choice(directories)}/w{number:03}", source))

    for number in range(330):
        write(number, rng.randrange(1, 8 * KIB))
    for number in range(330, 350):
        write(number, MIB)
    edits += [("symlink", f"{rng.choice(directories)}/s{at}", f"../target-{at}") for at in range(100)]
    edits += [("link", f"{rng.choice(directories)}/l{at}", old[at]) for at in range(100)]
    edits += [("remove", old[100 + at]) for at in range(100)]
    edits += [("chmod", old[200 + at], rng.choice([0o600, 0o640, 0o755])) for at in range(100)]
    edits += [("chown", old[300 + at], 1000 + at, 2000 + at) for at in range(50)]
    edits += [("setxattr", old[350 + at], "user.note", f"value-{at}") for at in range(100)]
    rng.shuffle(edits)
    return [("mkdir", path) for path in directories] + edits


def operation(edit):
    """Returns the operation of a script of banger."""
    kind, path, *rest = edit
    fields = {
        "mkdir": lambda: {"mode": "755"},
        "write": lambda source: {"source": source, "mode": "644", "owner": "0:0"},
        "symlink": lambda target: {"target": target},
        "link": lambda target: {"target": target},
        "remove": lambda: {},
        "chmod": lambda mode: {"mode": f"{mode:o}"},
        "chown": lambda uid, gid: {"owner": f"{uid}:{gid}"},
        "setxattr": lambda name, value: {"name": name, "value": value},
    }[kind](*rest)
    return {"op": kind, "path": path, **fields}


def commands(edit):
    """Returns the commands of debugfs. It writes files into its working directory, and does not count links."""
    kind, path, *rest = edit
    directory, name = os.path.split(path)
    return {
        "mkdir": lambda: [f"mkdir {path}"],
        "write": lambda source: [f"cd {directory}", f"write {source} {name}"],
        "symlink": lambda target: [f"symlink {path} {target}"],
        "link": lambda target: [f"ln {target} {path}", f"sif {target} links_count 2"],
        "remove": lambda: [f"rm {path}"],
        "chmod": lambda mode: [f"sif {path} mode 0100{mode:03o}"],
        "chown": lambda uid, gid: [f"sif {path} uid {uid}", f"sif {path} gid {gid}"],
        "setxattr": lambda name, value: [f"ea_set {path} {name} {value}"],
    }[kind](*rest)


# ---- what an image contains, as the kernel reads it ---------------------------------------------


def entry(path):
    """Returns all that an edit can change of a file."""
    stat = os.lstat(path)
    kind = stat.st_mode >> 12
    content = None
    if kind == 0o12:
        content = os.readlink(path)
    elif kind == 0o10:
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
    names = os.listxattr(path, follow_symlinks=False)
    xattrs = {name: os.getxattr(path, name, follow_symlinks=False).decode() for name in names}
    return (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_nlink, content, xattrs)


def contents(image, place):
    """Returns what is at each path: None at what the kernel cannot read, and None alone if it does not mount."""
    point = os.path.join(place, "mnt")
    os.makedirs(point, exist_ok=True)
    if subprocess.run(["mount", "-o", "loop,ro,noload", image, point], stderr=subprocess.DEVNULL).returncode:
        return None
    try:
        found = {}
        for directory, directories, names in os.walk(point):
            for name in directories + names:
                path = os.path.join(directory, name)
                try:
                    found[path[len(point):]] = entry(path)
                except OSError:
                    found[path[len(point):]] = None
        found.pop("/lost+found", None)
        return found
    finally:
        run("umount", point)


def is_done(edit, found, base):
    """Returns whether an image contains the result of an edit."""
    kind, path, *rest = edit
    if kind == "remove":
        return path not in found
    if found.get(path) is None:
        return False
    mode, uid, gid, nlink, content, xattrs = found[path]
    old = base.get(path)
    if kind == "mkdir":
        return (mode, uid, gid, nlink) == (0o40755, 0, 0, 2)
    if kind == "write":
        with open(rest[0], "rb") as file:
            return (mode, uid, gid, nlink) == (0o100644, 0, 0, 1) and content == hashlib.sha256(file.read()).hexdigest()
    if kind == "symlink":
        return mode >> 12 == 0o12 and content == rest[0]
    if kind == "link":
        return nlink == 2 and found.get(rest[0]) == found[path] and content == base[rest[0]][4]
    if kind == "chmod":
        return mode == 0o100000 | rest[0] and content == old[4]
    if kind == "chown":
        return (uid, gid) == tuple(rest) and content == old[4]
    return xattrs == {rest[0]: rest[1]} and content == old[4]


def recovered(image, place):
    """Returns a copy whose journal e2fsck has replayed, as a mount does before all else."""
    copy = os.path.join(place, "recovered.ext4")
    run("cp", "--sparse=always", image, copy)
    subprocess.run(["e2fsck", "-y", "-E", "journal_only", copy], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return copy


def complaints(image):
    """Returns how many things e2fsck -fn would change."""
    done = subprocess.run(["e2fsck", "-fn", image], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = len(re.findall(r"\? no\b", done.stdout.decode(errors="replace")))
    return said if said or done.returncode == 0 else 1


# ---- the contenders -----------------------------------------------------------------------------


class Contender:
    """A program with the edits in its own language."""

    def __init__(self, name, words, script, place):
        self.name, self.words = name, words
        self.script = os.path.join(place, f"{name}.script")
        with open(self.script, "w", encoding="utf-8") as file:
            file.write(script)

    def command(self, image):
        """Returns the words that edit an image."""
        return [word.format(image=image, script=self.script) for word in self.words]

    def start(self, image, before=()):
        """Starts the program. It reads its script from the standard input or by name."""
        with open(self.script, "rb") as script:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            return subprocess.Popen([*before, *self.command(image)], stdin=script, start_new_session=True, **quiet)


def contenders(banger, edits, place, suffix=""):
    """Returns banger and debugfs with these edits."""
    document = json.dumps({"schemaVersion": 1, "operations": [operation(edit) for edit in edits]})
    lines = "".join(line + "\n" for edit in edits for line in commands(edit))
    return [
        Contender("banger" + suffix, [banger, "rootfs", "edit", "{image}", "--script", "-"], document, place),
        Contender("debugfs" + suffix, ["debugfs", "-w", "-f", "{script}", "{image}"], lines, place),
    ]


def fresh(base, place):
    """Returns a new copy of the image, written to the disk."""
    work = os.path.join(place, "work.ext4")
    run("cp", "--sparse=always", base, work)
    run("sync", work)
    return work


def timed(contender, image):
    """Returns wall time, CPU time and exit status of one run."""
    started = time.monotonic()
    process = contender.start(image)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    return wall, usage.ru_utime + usage.ru_stime, process.returncode


def written(contender, image, place):
    """Returns bytes written to the image, the number of writes and of flushes."""
    log = os.path.join(place, "strace")
    contender.start(image, ["strace", "-f", "-qq", "-y", "-o", log, "-e", f"trace={WRITES}"]).wait()
    total = writes = flushes = 0
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            of_image = re.search(r"(\w+)\(\d+<" + re.escape(image) + r">.*= (\d+)$", line)
            if not of_image:
                continue
            if of_image[1].endswith("sync"):
                flushes += 1
            elif of_image[1] != "fallocate":
                total, writes = total + int(of_image[2]), writes + 1
    return total, writes, flushes


def killed(contender, image, after_seconds):
    """Starts the program and kills it. Returns whether it was still at work."""
    process = contender.start(image)
    time.sleep(after_seconds)
    at_work = process.poll() is None
    if at_work:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return at_work


# ---- the tables ---------------------------------------------------------------------------------


def table(head, rows):
    """Prints a table in Markdown."""
    print("| " + " | ".join(head) + " |")
    print("|---" + "|---:" * (len(head) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print(flush=True)


def whole_runs(both, base, edits, place, runs):
    """Prints what the edits take, and returns the median of the wall time and the contents after them."""
    old = contents(base, place)
    times = {contender.name: [] for contender in both}
    for _ in range(runs):
        for contender in both:
            times[contender.name].append(timed(contender, fresh(base, place)))
    rows, medians, states = [], {}, {}
    for contender in both:
        image = fresh(base, place)
        size, writes, flushes = written(contender, image, place)
        copy = recovered(image, place)
        state = contents(copy, place)
        done = sum(is_done(edit, state, old) for edit in edits)
        walls, cpus, statuses = zip(*times[contender.name])
        medians[contender.name], states[contender.name] = statistics.median(walls), state
        took = f"{medians[contender.name]:.2f} ({statistics.median(cpus):.2f})"
        spread = f"{min(walls):.2f} to {max(walls):.2f}"
        exits = " ".join(map(str, sorted(set(statuses))))
        row = [contender.name, took, spread, f"{size / MIB:.1f}", writes, flushes, done, exits, complaints(copy)]
        rows.append(row)
    table(["", "s wall (CPU)", "spread", "MiB written", "writes", "flushes", "edits done", "exit", "e2fsck"], rows)
    return old, medians, states


def killed_runs(both, base, place, kills, rng, whole):
    """Prints what is left of images whose editor was killed."""
    old, medians, states = whole
    rows = []
    for contender in both:
        counts = dict.fromkeys(["at work", "old", "new", "torn", "unreadable", "silent"], 0)
        said = []
        for _ in range(kills):
            image = fresh(base, place)
            counts["at work"] += killed(contender, image, rng.uniform(0, medians[contender.name]))
            copy = recovered(image, place)
            found = contents(copy, place)
            whole_states = [(old, "old"), (states[contender.name], "new")]
            counts[next((name for state, name in whole_states if found == state), "torn")] += 1
            counts["unreadable"] += found is None or None in found.values()
            said.append(complaints(copy))
        counts["silent"] = said.count(0)
        of_others = [count for count in said if count]
        rows.append([contender.name, *counts.values(), int(statistics.median(of_others or [0])), max(said)])
    head = ["killed", "at work", "old", "new", "torn", "unreadable", "e2fsck silent", "complaints", "most"]
    table(head, rows)


def fill(base, place, left_bytes):
    """Returns a copy of the image with a large file, so that this room is left."""
    image, filler = os.path.join(place, "full.ext4"), os.path.join(place, "filler")
    run("cp", "--sparse=always", base, image)
    header = run("dumpe2fs", "-h", image).decode()
    free, size = (int(re.search(rf"^{name}: *(\d+)", header, re.M)[1]) for name in ("Free blocks", "Block size"))
    with open(filler, "wb") as file:
        # Not zeros: debugfs makes holes of them.
        for _ in range((free * size - left_bytes) // MIB):
            file.write(b"x" * MIB)
    run("debugfs", "-w", "-R", f"write {filler} filler", image)
    return image


def failing_runs(banger, base, edits, place):
    """Prints what each does if an edit cannot be done: a wrong one in the middle, or no room."""
    old = contents(base, place)
    wrong = [*edits[:500], ("remove", "/srv/00/no-such-file"), *edits[500:]]
    rows = []
    for label, start, asked in (("a wrong edit", base, wrong), ("no room", fill(base, place, 8 * MIB), edits)):
        for contender in contenders(banger, asked, place, f", {label}"):
            image = fresh(start, place)
            _, _, status = timed(contender, image)
            copy = recovered(image, place)
            found = contents(copy, place)
            done = "not mounted" if found is None else sum(is_done(edit, found, old) for edit in edits)
            rows.append([contender.name, status, done, complaints(copy)])
    table(["", "exit", "edits done", "e2fsck"], rows)


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("banger")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory")
    arguments = parser.parse_args()
    missing = [tool for tool in ("mke2fs", "e2fsck", "debugfs", "strace") if not shutil.which(tool)]
    if missing or os.geteuid():
        sys.exit(f"needs root and these programs: {', '.join(missing)}" if missing else "needs root, to mount images")
    banger = os.path.abspath(arguments.banger)
    with tempfile.TemporaryDirectory(prefix="bench-edits-", dir=arguments.directory) as place:
        place = os.path.realpath(place)
        rng = random.Random(arguments.seed)
        base = make_base(rng, place)
        edits = make_edits(rng, place)
        both = contenders(banger, edits, place)
        whole = whole_runs(both, base, edits, place, arguments.runs)
        if arguments.kills:
            killed_runs(both, base, place, arguments.kills, rng, whole)
        failing_runs(banger, base, edits, place)


if __name__ == "__main__":
    main()
