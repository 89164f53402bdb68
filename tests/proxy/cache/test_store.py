from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.cache.entry import Stored
from proxy.cache.keys import KeyMaker, Keys
from proxy.cache.sealed import KEY_FILE
from proxy.cache.store import ENTRY_BYTES, MAX_VARIANTS, OFF_S, Store
from proxy.headers import Headers

MAKER = KeyMaker(b"secret", shared=False)
NOBODY = Headers()


def keys(path: str, client: str = "anna", request: Headers = NOBODY) -> Keys:
    return MAKER.keys(f"http://a.test/{path}", client, request, False)


def head(*nominated: tuple[str, str], tag: str = '"a"') -> Stored:
    return Stored(200, Headers((("ETag", tag), ("X-Odd", "\udcff é"))), nominated, 1.0, 2.0, 0, False)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path / "cache", 1_000_000, 200_000)
    await made.open()
    yield made
    await made.close()


async def put(store: Store, at: Keys, body: bytes, stored: Stored | None = None) -> None:
    draft = store.draft()
    assert draft is not None
    for begin in range(0, len(body), 1000):
        draft.write(body[begin : begin + 1000])
    draft.commit(at.common, at.place, stored or head(), len(body))
    await store.settle()


async def bodies(store: Store, at: Keys) -> list[bytes | None]:
    return [await store.read(found) for found in await store.find(at)]


def files(store_folder: Path) -> list[Path]:
    return sorted(store_folder.glob("*.body"))


async def test_the_disk_shows_nothing_and_without_the_key_nothing_is_found(store: Store, tmp_path: Path) -> None:
    await put(store, keys("a"), b"the secret in the page" * 100, head(tag='"the secret in the head"'))
    await store.close()
    for file in (tmp_path / "cache").iterdir():
        assert b"secret" not in file.read_bytes(), file.name
    (tmp_path / "cache" / KEY_FILE).unlink()
    again = Store(tmp_path / "cache", 1_000_000, 200_000)
    await again.open()
    assert await again.find(keys("a")) == []
    assert again.entries == 0 and not files(tmp_path / "cache")
    await put(again, keys("a"), b"new")
    assert await bodies(again, keys("a")) == [b"new"]
    await again.close()


async def test_what_is_put_comes_back_also_after_a_restart(store: Store, tmp_path: Path) -> None:
    body = os.urandom(50_000)
    await put(store, keys("a"), body)
    await put(store, keys("empty"), b"")
    assert store.knows(keys("a")) and not store.knows(keys("b"))
    assert await bodies(store, keys("a")) == [body] and await bodies(store, keys("empty")) == [b""]
    assert (await store.find(keys("a")))[0].stored == head()
    await store.close()
    again = Store(tmp_path / "cache", 1_000_000, 200_000)
    await again.open()
    assert await bodies(again, keys("a")) == [body] and again.size_bytes == 50_000 + 2 * ENTRY_BYTES
    assert oct((tmp_path / "cache").stat().st_mode)[-3:] == "700"
    assert {oct(file.stat().st_mode)[-3:] for file in (tmp_path / "cache").glob("*.body")} == {"600"}
    await again.close()


async def test_a_new_answer_replaces_its_like_and_variants_stay_few(store: Store, tmp_path: Path) -> None:
    await put(store, keys("a"), b"old")
    await put(store, keys("a"), b"new")
    assert await bodies(store, keys("a")) == [b"new"] and len(files(tmp_path / "cache")) == 1
    for number in range(MAX_VARIANTS + 3):
        await put(store, keys("a"), b"v", head(("accept", str(number))))
    found = await store.find(keys("a"))
    assert len(found) == MAX_VARIANTS and found[0].stored.nominated == (("accept", str(MAX_VARIANTS + 2)),)


async def test_bounds_hold_and_what_was_used_last_stays(store: Store, tmp_path: Path) -> None:
    for number in range(5):
        await put(store, keys(str(number)), bytes(180_000))
    assert await bodies(store, keys("0")) == [bytes(180_000)]  # used just now
    for number in range(5, 8):
        await put(store, keys(str(number)), bytes(180_000))
    assert store.size_bytes <= 1_000_000
    assert store.knows(keys("0")) and not store.knows(keys("1")) and store.knows(keys("7"))
    assert len(files(tmp_path / "cache")) == store.entries
    draft = store.draft()
    assert draft is not None
    draft.write(bytes(200_001))
    draft.commit(keys("large").common, keys("large").place, head(), None)
    await store.settle()
    assert not store.knows(keys("large")) and len(files(tmp_path / "cache")) == store.entries


async def test_half_a_body_is_never_kept(store: Store, tmp_path: Path) -> None:
    draft = store.draft()
    assert draft is not None
    draft.write(b"12345")
    draft.commit(keys("a").common, keys("a").place, head(), 10)
    other = store.draft()
    assert other is not None
    other.write(b"12345")
    other.drop()
    other.commit(keys("a").common, keys("a").place, head(), 5)
    await store.settle()
    assert not store.knows(keys("a")) and not files(tmp_path / "cache")


@pytest.mark.parametrize("damage", ["shorter", "longer", "other", "gone", "empty"])
async def test_a_torn_body_is_dropped_not_served(
    store: Store, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await put(store, keys("a"), b"x" * 5000)
    (file,) = files(tmp_path / "cache")
    changed = {"shorter": b"x" * 4999, "longer": b"x" * 5001, "other": b"x" * 4999 + b"y", "empty": b""}
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(changed[damage])
    assert await bodies(store, keys("a")) == [None]
    assert not store.knows(keys("a")) and not files(tmp_path / "cache") and store.entries == 0
    assert damage == "gone" or "damaged" in caplog.text


async def test_a_damaged_index_is_moved_aside_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = Store(tmp_path, 1_000_000, 200_000)
    await first.open()
    await put(first, keys("a"), b"x" * 5000)
    await first.close()
    (tmp_path / "index.sqlite").write_bytes(b"no database at all" * 1000)
    again = Store(tmp_path, 1_000_000, 200_000)
    await again.open()
    assert "moved aside" in caplog.text and (tmp_path / "index.sqlite.damaged").exists()
    assert not again.knows(keys("a")) and not files(tmp_path)
    await put(again, keys("b"), b"works")
    assert await bodies(again, keys("b")) == [b"works"]
    await again.close()


async def test_an_index_that_is_damaged_at_work_begins_anew(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(40):
        await put(store, keys(str(number)), b"x" * 100, head(tag='"' + "t" * 3000 + '"'))
    await store.close()
    index = tmp_path / "cache" / "index.sqlite"
    content = bytearray(index.read_bytes())
    again = Store(tmp_path / "cache", 1_000_000, 200_000)
    await again.open()
    content[8192:] = b"\xa5" * (len(content) - 8192)
    index.write_bytes(content)
    assert again._base is not None
    again._base.execute("PRAGMA shrink_memory")  # what was read before is forgotten
    for number in range(40):
        await again.find(keys(str(number)))
    assert "damaged" in caplog.text
    await put(again, keys("new"), b"works")
    assert await bodies(again, keys("new")) == [b"works"]
    await again.close()


async def test_a_damaged_head_is_dropped(store: Store) -> None:
    await put(store, keys("a"), b"x")
    base = store._base
    assert base is not None
    base.execute("UPDATE answer SET head = '[200, []'")
    assert await store.find(keys("a")) == [] and not store.knows(keys("a"))


async def test_a_full_disk_switches_the_store_off_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 0.0
    store = Store(tmp_path, 1_000_000, 200_000, lambda: now_s)
    await store.open()
    await put(store, keys("kept"), b"before")
    real = os.write

    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    draft = store.draft()
    assert draft is not None
    draft.write(b"x" * 1000)
    draft.write(b"x" * 1000)
    draft.commit(keys("a").common, keys("a").place, head(), 2000)
    await store.settle()
    monkeypatch.setattr(os, "write", real)
    assert "No space left" in caplog.text and store.draft() is None
    assert not store.knows(keys("a")) and len(files(tmp_path)) == 1
    assert await bodies(store, keys("kept")) == [b"before"]
    now_s = OFF_S + 1
    await put(store, keys("b"), b"after")
    assert await bodies(store, keys("b")) == [b"after"]
    await store.close()


async def test_a_folder_that_cannot_be_used_means_no_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Store(tmp_path / "file" / "cache", 1_000_000, 200_000)
    await store.open()
    assert store.draft() is None and await store.find(keys("a")) == [] and caplog.text
    await store.close()


async def test_two_processes_do_not_share_a_folder(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        other = Store(tmp_path / "cache", 1_000_000, 200_000)
        await other.open()
    assert other.draft() is None and "another process" in caplog.text
    await other.close()
    await put(store, keys("a"), b"mine")
    assert await bodies(store, keys("a")) == [b"mine"]


async def test_forgetting(store: Store, tmp_path: Path) -> None:
    for client in ("anna", "ben"):
        await put(store, keys("a", client), b"x")
        await put(store, keys("b", client), b"x")
    store.invalidate([keys("a").place])
    await store.settle()
    assert not store.knows(keys("a")) and not store.knows(keys("a", "ben")) and store.knows(keys("b"))
    (found,) = await store.find(keys("b"))
    store.update(found, head(tag='"new"'))
    (found,) = await store.find(keys("b"))
    assert found.stored.headers.get("etag") == '"new"'
    store.remove(found)
    store.remove(found)
    await store.settle()
    assert not store.knows(keys("b")) and store.entries == 1


async def test_keys_keep_people_and_originals_apart() -> None:
    cookie, other = Headers((("Cookie", "a=1"),)), Headers((("Cookie", "a=2"),))
    assert keys("a").common != keys("a", "ben").common
    assert keys("a", "anna", cookie).common == keys("a", "anna", other).common
    assert keys("a", "anna", cookie).personal != keys("a", "anna", other).personal
    assert MAKER.keys("u", "anna", NOBODY, True).common != MAKER.keys("u", "anna", NOBODY, False).common
    shared = KeyMaker(b"secret", shared=True)
    assert shared.keys("u", "anna", cookie, False) == shared.keys("u", "ben", other, False)
    assert KeyMaker(b"other", shared=True).place("u") != shared.place("u")


async def test_kill_9_in_the_middle_of_writing_leaves_only_whole_bodies(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from proxy.cache.entry import Stored
        from proxy.cache.store import Store
        from proxy.headers import Headers

        async def main():
            store = Store(Path(sys.argv[1]), 50_000_000, 1_000_000)
            await store.open()
            number = 0
            while True:
                number += 1
                body = bytes([number % 256]) * 40_000
                draft = store.draft()
                for begin in range(0, len(body), 4000):
                    draft.write(body[begin : begin + 4000])
                key = number.to_bytes(20, "big")
                draft.commit(key, key, Stored(200, Headers(), (), 1.0, 2.0, 0, False), len(body))
                if number % 10 == 0:
                    await store.settle()
                    print(number, flush=True)

        asyncio.run(main())
        """
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    settled = 0
    for _ in range(3):
        settled = int((await asyncio.to_thread(process.stdout.readline)).decode())
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    process.stdout.close()
    store = Store(tmp_path, 50_000_000, 1_000_000)
    await store.open()
    assert store.entries >= settled and len(files(tmp_path)) == store.entries
    for number in range(1, store.entries + 1):
        key = number.to_bytes(20, "big")
        assert await bodies(store, Keys(key, None, key)) == [bytes([number % 256]) * 40_000]
    await store.close()
