from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from proxy.headers import Headers
from proxy.spool import Original, Spool

KIB = 1024


def original(size: int = 10 * KIB, fill: bytes = b"x", **fields: str) -> Original:
    headers = Headers.of((name.replace("_", "-"), value) for name, value in fields.items())
    return Original(headers, fill * size)


def test_originals_live_for_their_time() -> None:
    spool = Spool(100 * KIB, ttl_s=120)
    spool.put(b"a", original(), now_s=0)
    assert spool.get(b"a", 119) == original()
    assert spool.get(b"b", 0) is None
    assert spool.get(b"a", 120) is None
    assert spool.memory_bytes == 0


def test_the_oldest_give_way() -> None:
    spool = Spool(50 * KIB, ttl_s=120)
    for at in range(8):
        spool.put(bytes((at,)), original(), now_s=at)
    kept = [at for at in range(8) if spool.get(bytes((at,)), 8)]
    assert kept == [4, 5, 6, 7] and spool.memory_bytes <= 50 * KIB


def test_large_originals_are_not_kept() -> None:
    spool = Spool(100 * KIB, ttl_s=120)
    spool.put(b"a", original(30 * KIB), 0)
    assert spool.get(b"a", 0) is None


def test_a_new_original_replaces_the_old_one() -> None:
    spool = Spool(100 * KIB, ttl_s=120)
    spool.put(b"a", original(fill=b"1"), 0)
    spool.put(b"a", original(fill=b"2"), 100)
    found = spool.get(b"a", 150)
    assert found is not None and found.body[:1] == b"2"


def test_overflow_goes_to_private_files_that_vanish(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(100 * KIB, 120, folder, memory_bytes=25 * KIB)
    for at in range(5):
        spool.put(bytes((at,)), original(fill=b"%d" % at), 0)
    files = list(folder.iterdir())
    assert len(files) == 3 and {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    for at in range(5):
        found = spool.get(bytes((at,)), 1)
        assert found is not None and found.body == b"%d" % at * 10 * KIB
    assert spool.memory_bytes <= 25 * KIB and spool.disk_bytes > 0
    spool.close()
    assert list(folder.iterdir()) == [] and spool.memory_bytes == spool.disk_bytes == 0


def test_no_store_never_touches_the_disk(tmp_path: Path) -> None:
    spool = Spool(100 * KIB, 120, tmp_path, memory_bytes=15 * KIB)
    spool.put(b"secret", original(Cache_Control="private, no-store"), 0)
    spool.put(b"b", original(), 1)
    assert list(tmp_path.iterdir()) == []
    assert spool.get(b"secret", 1) is None and spool.get(b"b", 1) is not None


def test_files_of_an_earlier_process_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "0123.original").write_bytes(b"left behind")
    (tmp_path / "unrelated").write_bytes(b"stays")
    Spool(100 * KIB, 120, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["unrelated"]


def test_a_file_that_is_gone_is_a_miss(tmp_path: Path) -> None:
    spool = Spool(100 * KIB, 120, tmp_path, memory_bytes=5 * KIB)
    spool.put(b"a", original(), 0)
    next(tmp_path.iterdir()).unlink()
    assert spool.get(b"a", 1) is None and spool.disk_bytes == 0


def test_a_folder_that_cannot_be_written_costs_only_the_second_life(tmp_path: Path) -> None:
    spool = Spool(100 * KIB, 120, tmp_path / "s", memory_bytes=15 * KIB)
    (tmp_path / "s").rmdir()
    spool.put(b"a", original(), 0)
    spool.put(b"b", original(), 0)
    assert spool.get(b"a", 1) is None and spool.get(b"b", 1) is not None


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=1), st.integers(0, 30 * KIB)), max_size=40))
def test_sizes_always_add_up(puts: list[tuple[bytes, int]]) -> None:
    spool = Spool(64 * KIB, ttl_s=10)
    for now_s, (key, size) in enumerate(puts):
        spool.put(key, original(size), now_s)
        assert 0 <= spool.memory_bytes <= 64 * KIB
    spool.get(b"", len(puts) + 100)
    assert spool.memory_bytes == 0
