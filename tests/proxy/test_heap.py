import subprocess
import sys

import pytest

from proxy import heap

GROW_AND_FREE = """
import os, sys
from proxy.heap import bound_heaps, trim
def weighs():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
assert bound_heaps()
kept, pieces = [], []
for n in range(40_000):  # small enough to come from the heap, each hundredth stays between the others
    (pieces if n % 100 else kept).append(os.urandom(4000))
full = weighs()
pieces.clear()
trim()
print(full - weighs())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's own functions")
def test_what_is_freed_goes_back_to_the_system() -> None:
    told = subprocess.run([sys.executable, "-c", GROW_AND_FREE], capture_output=True, check=True, text=True).stdout
    assert int(told) > 100 * 1024 * 1024


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_glibc", lambda: None)
    assert not heap.bound_heaps() and not heap.trim()
