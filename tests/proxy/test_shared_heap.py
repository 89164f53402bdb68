import subprocess
import sys

import pytest

from proxy.shared import heap

GROW_AND_FREE = """
import os, sys
from proxy.shared.heap import bound_heaps, trim
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


def test_memory_is_given_back_when_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    weighs, trimmed = [100], []
    monkeypatch.setattr(heap, "resident_bytes", lambda: weighs[-1])
    monkeypatch.setattr(heap, "trim", lambda: trimmed.append(weighs[-1]) or weighs.append(110) or True)
    trimmer = heap.Trimmer(50)
    looks = []
    for now in (100, 149, 90, 139, 140, 159, 160):
        weighs.append(now)
        looks.append(trimmer.look())
    assert looks == [False, False, False, False, True, False, True] and trimmed == [140, 160]


def test_what_cannot_be_weighed_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "resident_bytes", lambda: None)
    monkeypatch.setattr(heap, "trim", lambda: pytest.fail("nothing says that it is needed"))
    assert not heap.Trimmer(0).look()
