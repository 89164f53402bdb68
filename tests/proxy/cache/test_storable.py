from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.cache.entry import Stored
from proxy.cache.storable import Exchanged, Keep, Leave, judge_store
from proxy.cache.vary import matches
from proxy.headers import Headers

FRESH = (("Content-Type", "image/png"), ("Cache-Control", "max-age=60"))


def judged(
    shared: bool = True,
    method: str = "GET",
    status: int = 200,
    request: tuple[tuple[str, str], ...] = (),
    answer: tuple[tuple[str, str], ...] = FRESH,
) -> Keep | Leave:
    return judge_store(Exchanged(method, Headers(request), status, Headers(answer), 1.0, 2.0, False), shared)


def answer(control: str, *more: tuple[str, str], kind: str = "image/png") -> tuple[tuple[str, str], ...]:
    return (("Content-Type", kind), ("Cache-Control", control), *more)


def test_an_ordinary_answer_is_kept_by_both() -> None:
    for shared in (True, False):
        found = judged(shared)
        assert isinstance(found, Keep) and not found.personal


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "HEAD"},
        {"method": "POST"},
        {"status": 206},
        {"status": 500},
        {"status": 304},
        {"request": (("Range", "bytes=0-1"),)},
        {"request": (("Cache-Control", "no-store"),)},
        {"answer": answer("no-store")},
        {"answer": answer("max-age=60, No-Store")},
        {"answer": answer("max-age=60", ("Set-Cookie", "a=b"))},
        {"answer": answer("public, max-age=60", ("Set-Cookie", "a=b"))},
        {"answer": answer("max-age=60", ("Vary", "*"))},
        {"answer": answer("max-age=60", ("Vary", ", ".join(f"x-{n}" for n in range(40))))},
        {"answer": answer("max-age=60", ("X-Long", "y" * 70_000))},
        {"answer": (("Content-Type", "image/png"),)},
        {"answer": answer("x" * 5000)},
        {"status": 302, "answer": (("Location", "/b"), ("ETag", '"a"'))},
    ],
)
def test_what_nobody_keeps(changes: dict[str, object]) -> None:
    assert isinstance(judged(True, **changes), Leave)  # type: ignore[arg-type]
    assert isinstance(judged(False, **changes), Leave)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": answer("private, max-age=60")},
        {"answer": answer('private="x-user", max-age=60')},
        {"request": (("Authorization", "Basic x"),)},
        {"request": (("Authorization", "Basic x"),), "answer": answer("public, max-age=60")},
        {"answer": answer("max-age=60", ("Vary", "Accept, Cookie"))},
        {"request": (("Cookie", "a=b"),), "answer": answer("max-age=60", kind="text/html")},
        {"request": (("Cookie", "a=b"),), "answer": answer("max-age=60")},
        {"request": (("Cookie", "a=b"),), "answer": (("Content-Type", "image/png"), ("ETag", '"a"'))},
    ],
)
def test_what_only_its_owner_may_have(changes: dict[str, object]) -> None:
    assert judged(True, **changes) == Leave("private")  # type: ignore[arg-type]
    found = judged(False, **changes)  # type: ignore[arg-type]
    assert isinstance(found, Keep) and found.personal


@pytest.mark.parametrize("control", ["public, max-age=60", "s-maxage=60"])
def test_pictures_for_everybody_are_kept_whatever_cookies_came(control: str) -> None:
    found = judged(request=(("Cookie", "a=b"),), answer=answer(control))
    assert isinstance(found, Keep) and not found.personal


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-HTTP-Method-Override", "X-Original-URL", "Forwarded"])
def test_a_request_that_no_browser_sends_poisons_no_shared_cache(name: str) -> None:
    assert isinstance(judged(True, request=((name, "evil"),)), Leave)
    assert isinstance(judged(False, request=((name, "evil"),)), Keep)


def test_fields_of_one_hop_are_not_kept() -> None:
    hop = (("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "5"), ("Age", "7"), ("Trailer", "x"))
    found = judged(answer=answer("max-age=60", *hop))
    assert isinstance(found, Keep)
    assert {name.lower() for name, _ in found.stored.headers} == {"content-type", "cache-control"}
    assert found.stored.age_s == 7


def kept(request: tuple[tuple[str, str], ...], *more: tuple[str, str], kind: str = "image/png") -> Stored:
    found = judged(False, request=request, answer=answer("max-age=60", *more, kind=kind))
    assert isinstance(found, Keep)
    return found.stored


def test_variants_match_what_they_were_asked_with() -> None:
    found = kept((("Accept-Language", "de, en"), ("X-A", "1")), ("Vary", "Accept-Language"))
    assert matches(found.nominated, Headers((("accept-language", "de,en"), ("X-A", "2"))))
    assert matches(found.nominated, Headers((("accept-language", "de"), ("accept-language", "en"))))
    assert not matches(found.nominated, Headers((("Accept-Language", "de"),)))
    assert not matches(found.nominated, Headers())


def test_fields_that_origins_forget_to_name_count_too() -> None:
    found = kept((("Accept", "image/webp"), ("Accept-Encoding", "gzip"), ("Origin", "http://a.test")))
    same = Headers((("Accept", "image/webp"), ("Accept-Encoding", "gzip"), ("Origin", "http://a.test")))
    assert matches(found.nominated, same)
    for name in ("accept", "accept-encoding", "origin"):
        assert not matches(found.nominated, same.without((name,)))
    page = kept((), kind="text/html")
    assert not matches(page.nominated, Headers((("Cookie", "who=anna"),)))


def test_cookies_are_kept_as_digests_only() -> None:
    found = kept((("Cookie", "session=geheim"),), ("Vary", "Cookie"))
    assert "geheim" not in str(found.nominated)
    assert matches(found.nominated, Headers((("Cookie", "session=geheim"),)))
    assert not matches(replace(found).nominated, Headers((("Cookie", "session=other"),)))


def test_a_bundle_depends_on_the_offer_and_the_words_it_was_made_for() -> None:
    offer = ("Sketchwire-Accept", "v=1;engine=sketch@01234567;nonce=0123456789abcdef")
    found = kept((offer, ("Sketchwire-Words", "0123456789abcdef")), ("Vary", "Accept, Sketchwire-Accept"))
    assert matches(found.nominated, Headers((offer, ("Sketchwire-Words", "0123456789abcdef"))))
    assert not matches(found.nominated, Headers((offer,)))
    assert not matches(found.nominated, Headers((("Sketchwire-Words", "0123456789abcdef"),)))
