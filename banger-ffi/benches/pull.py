"""pull.py STATE CACHE REFERENCE FILE: prints the seconds of CPU time that one pull took."""

import resource
import sys

import banger


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


before = cpu_seconds()
with banger.Store(sys.argv[1], sys.argv[2]) as store:
    store.pull_to_file(sys.argv[3], sys.argv[4], progress=lambda event: None).close()
print(cpu_seconds() - before)
