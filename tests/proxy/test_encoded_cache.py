from __future__ import annotations

from dataclasses import replace

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
        replace(REQUEST, floor=0.5),
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
