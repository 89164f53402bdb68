from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.bundle import MEDIA_TYPE
from proxy.encode import Declined, Encoded, EncodeRequest
from proxy.encoded_cache import EncodedCache
from proxy.policy import Reason

REQUEST = EncodeRequest(b"image", words="a cup")
MADE = Encoded(b"bundle", MEDIA_TYPE, "thumbnail", 4, 3, "photograph")


def test_the_same_bytes_on_the_same_terms_are_found() -> None:
    cache = EncodedCache()
    cache.put(cache.key(REQUEST), MADE)
    assert cache.get(cache.key(replace(REQUEST))) == MADE
    for other in (
        replace(REQUEST, data=b"other"),
        replace(REQUEST, words="a mug"),
        replace(REQUEST, words=None),
        replace(REQUEST, words_known_downstream=True),
        replace(REQUEST, engine="diffusion"),
        replace(REQUEST, modes=("edges",)),
        replace(REQUEST, tier="economy"),
    ):
        assert cache.get(cache.key(other)) is None


def test_only_what_would_be_the_same_next_time_is_kept() -> None:
    cache = EncodedCache()
    for reason in (Reason.DEADLINE, Reason.BUSY, Reason.CRASHED, Reason.INTERNAL_ERROR):
        cache.put(b"k", Declined(reason))
        assert cache.get(b"k") is None
    cache.put(b"k", Declined(Reason.KIND))
    assert cache.get(b"k") == Declined(Reason.KIND)


def test_it_stays_within_its_limit() -> None:
    cache = EncodedCache(max_bytes=10_000)
    for at in range(50):
        cache.put(bytes((at,)), replace(MADE, body=bytes(1000)))
        cache.get(b"\0")
    assert cache.size_bytes <= 10_000
    assert cache.get(b"\0") is not None, "what is used stays"
    assert cache.get(b"\1") is None


async def test_results_survive_a_restart_and_stay_private_to_their_user(tmp_path: Path) -> None:
    file = tmp_path / "encoded.sqlite"
    declined = Declined(Reason.KIND, "a chart", "chart")
    cache = EncodedCache(file=file, disk_bytes=100_000)
    cache.put(b"a", MADE, lasting=True)
    cache.put(b"b", declined, lasting=True)
    cache.put(b"c", MADE, lasting=False)
    await cache.close()
    assert file.stat().st_mode & 0o777 == 0o600
    later = EncodedCache(file=file, disk_bytes=100_000)
    assert later.get(b"a") is None, "nothing is read before it is asked for"
    assert await later.find(b"a") == MADE and later.get(b"a") == MADE
    assert await later.find(b"b") == declined
    assert await later.find(b"c") is None and await later.find(b"d") is None
    await later.close()
    assert await later.find(b"a") == MADE, "memory works without the file"


async def test_the_file_stays_within_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "encoded.sqlite"
    cache = EncodedCache(max_bytes=0, file=file, disk_bytes=20_000)
    for at in range(40):
        cache.put(bytes((at,)), replace(MADE, body=bytes(1000)), lasting=True)
    cache.put(b"large", replace(MADE, body=bytes(19_000)), lasting=True)
    found = [at for at in range(40) if await cache.find(bytes((at,)))]
    assert 5 <= len(found) < 20
    assert await cache.find(b"large") is None, "one image does not push out the others"
    await cache.close()
    reopened = EncodedCache(file=file, disk_bytes=20_000)
    assert [at for at in range(40) if await reopened.find(bytes((at,)))] == found
    await reopened.close()


@pytest.mark.parametrize("damage", [b"", b"not a database at all" * 400])
async def test_a_damaged_file_costs_only_work(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "encoded.sqlite"
    file.write_bytes(damage)
    cache = EncodedCache(file=file, disk_bytes=100_000)
    assert await cache.find(b"a") is None
    cache.put(b"a", MADE, lasting=True)
    await cache.close()
    later = EncodedCache(file=file, disk_bytes=100_000)
    assert await later.find(b"a") == MADE
    await later.close()


def test_engines_do_not_share() -> None:
    cache = EncodedCache()
    assert len({cache.key(REQUEST, engine) for engine in ("", "sketch@01234567", "sketch@76543210")}) == 3
