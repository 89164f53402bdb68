from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.bundle import MEDIA_TYPE
from proxy.config import UpstreamConfig
from proxy.encode import Declined, Encoded, EncodeRequest
from proxy.encoded_cache import EncodedCache
from proxy.headers import Headers
from proxy.negotiation import Accept
from proxy.pages import words_digest
from proxy.policy import Reason, ResponseFacts, Skip, Take
from proxy.tiers import Terms
from proxy.transform import Transformer, Words

JPEG = b"\xff\xd8\xff\xe0" + bytes(5000)
ACCEPT = Accept("sketch@01234567", "0123456789abcdef")
MADE = Encoded(b"bundle", MEDIA_TYPE, "thumbnail", 40, 30, "photograph", stage_ms={"open": 1.0})


@dataclass
class FakeEncoder:
    answer: Callable[[], Encoded | Declined] = lambda: MADE
    requests: list[EncodeRequest] = field(default_factory=list)

    async def encode(self, request: EncodeRequest) -> Encoded | Declined:
        self.requests.append(request)
        return self.answer()


def came(**fields: str) -> ResponseFacts:
    given = {"Content-Type": "image/jpeg"} | {name.replace("_", "-"): text for name, text in fields.items()}
    return ResponseFacts(200, Headers.of(given.items()))


async def test_an_image_becomes_a_bundle_on_the_receivers_terms() -> None:
    encoder = FakeEncoder()
    outcome = await Transformer(UpstreamConfig(), encoder).transform(came(), JPEG, ACCEPT, Words())
    assert outcome.verdict == Take() and outcome.encoded == MADE and outcome.stage_ms == {"open": 1.0}
    (request,) = encoder.requests
    assert (request.data, request.mode, request.engine, request.words) == (JPEG, "auto", "sketch", None)
    assert set(request.modes) == {"prompt", "edges", "edges+palette", "thumbnail", "salient"}


async def test_only_modes_that_the_receiver_can_draw() -> None:
    encoder = FakeEncoder()
    narrow = Accept("preview", ACCEPT.nonce, ("thumbnail", "hologram"))
    await Transformer(UpstreamConfig(), encoder).transform(came(), JPEG, narrow, Words())
    assert encoder.requests[0].modes == ("thumbnail",)
    outcome = await Transformer(UpstreamConfig(mode="edges"), encoder).transform(came(), JPEG, narrow, Words())
    assert isinstance(outcome.verdict, Skip) and outcome.verdict.reason is Reason.NO_GAIN
    assert len(encoder.requests) == 1


@pytest.mark.parametrize(
    ("told", "known"), [(words_digest("a cup"), True), (words_digest("a mug"), False), (None, False)]
)
async def test_words_stay_off_the_link_only_if_both_sides_agree(told: bytes | None, known: bool) -> None:
    encoder = FakeEncoder()
    reader = Accept("diffusion@01234567", ACCEPT.nonce)
    await Transformer(UpstreamConfig(), encoder).transform(came(), JPEG, reader, Words("a cup", told))
    assert encoder.requests[0].words == "a cup" and encoder.requests[0].words_known_downstream is known


async def test_content_encoding_is_undone_first_and_bombs_are_left_alone() -> None:
    encoder = FakeEncoder()
    transformer = Transformer(UpstreamConfig(max_image_bytes=50_000), encoder)
    await transformer.transform(came(Content_Encoding="gzip"), gzip.compress(JPEG), ACCEPT, Words())
    assert encoder.requests[0].data == JPEG
    for body, reason in ((gzip.compress(bytes(60_000)), Reason.TOO_LARGE), (b"not gzip" * 200, Reason.UNKNOWN_CODING)):
        outcome = await transformer.transform(came(Content_Encoding="gzip"), body, ACCEPT, Words())
        assert isinstance(outcome.verdict, Skip) and outcome.verdict.reason is reason
    assert len(encoder.requests) == 1


async def test_what_is_no_image_never_reaches_the_encoder() -> None:
    encoder = FakeEncoder()
    outcome = await Transformer(UpstreamConfig(), encoder).transform(came(), b"<html>" * 999, ACCEPT, Words())
    assert isinstance(outcome.verdict, Skip) and outcome.verdict.reason is Reason.NOT_AN_IMAGE_BODY
    assert encoder.requests == []


async def test_the_same_image_is_encoded_once() -> None:
    encoder = FakeEncoder()
    transformer = Transformer(UpstreamConfig(), encoder)
    first = await transformer.transform(came(), JPEG, ACCEPT, Words())
    second = await transformer.transform(came(), JPEG, Accept("sketch@01234567", "f" * 16, client="0" * 12), Words())
    assert first.encoded and second.encoded and first.encoded.body == second.encoded.body
    assert len(encoder.requests) == 1


async def test_what_has_no_part_in_the_answer_does_not_part_it() -> None:
    encoder = FakeEncoder()
    transformer = Transformer(UpstreamConfig(), encoder)
    asked = [Terms("balanced", ("avif", "webp"), moving) for moving in (False, True)]
    words = [Words(), Words("a cup"), Words("a cup", words_digest("a cup"))]
    for terms in asked:
        for told in words:
            await transformer.transform(came(), JPEG, ACCEPT, told, terms)
    assert len(encoder.requests) == 1, "a picture that cannot move, for an engine that does not read"
    await transformer.transform(came(), JPEG, ACCEPT, Words("the company's logo"), asked[0])
    assert len(encoder.requests) == 2 and encoder.requests[1].named_logo and not encoder.requests[0].named_logo
    gif = b"GIF89a" + bytes(5000)
    for terms in asked:
        await transformer.transform(came(Content_Type="image/gif"), gif, ACCEPT, Words(), terms)
    assert [request.moving for request in encoder.requests[2:]] == [False, True]


async def test_a_crashing_encoder_is_left_alone_for_a_while() -> None:
    encoder = FakeEncoder(lambda: Declined(Reason.CRASHED))
    transformer = Transformer(UpstreamConfig(), encoder)
    for _ in range(5):
        assert transformer.ready() == Take()
        outcome = await transformer.transform(came(), JPEG, ACCEPT, Words())
        assert outcome.verdict == Skip(Reason.CRASHED)
    assert transformer.ready() == Skip(Reason.BREAKER_OPEN)


async def test_a_busy_or_picky_encoder_is_no_broken_one() -> None:
    for reason in (Reason.BUSY, Reason.DEADLINE, Reason.KIND):
        encoder = FakeEncoder(lambda reason=reason: Declined(reason, "because"))
        transformer = Transformer(UpstreamConfig(), encoder)
        for _ in range(9):
            outcome = await transformer.transform(came(), JPEG, ACCEPT, Words())
            assert outcome.verdict == Skip(reason, "because")
        assert transformer.ready() == Take()


async def test_results_of_another_type_are_not_sent() -> None:
    webp = Encoded(b"RIFF", "image/webp", "thumbnail", 4, 3, "photograph")
    outcome = await Transformer(UpstreamConfig(), FakeEncoder(lambda: webp)).transform(came(), JPEG, ACCEPT, Words())
    assert outcome.encoded is None and isinstance(outcome.verdict, Skip)


async def test_a_file_is_sent_in_the_formats_that_were_asked_for() -> None:
    avif = Encoded(b"avif", "image/avif", "avif", 4, 3, "chart")
    encoder = FakeEncoder(lambda: avif)
    asked = Terms("economy", ("avif", "webp"))
    outcome = await Transformer(UpstreamConfig(), encoder).transform(came(), JPEG, ACCEPT, Words(), asked)
    assert outcome.encoded == avif
    assert (encoder.requests[0].tier, encoder.requests[0].formats) == ("economy", ("avif", "webp"))


async def test_a_late_search_goes_on_for_who_asks_next() -> None:
    gate, begun = asyncio.Event(), []

    class Slow:
        async def encode(self, request: EncodeRequest) -> Encoded | Declined:
            begun.append(request)
            await gate.wait()
            return MADE

    transformer = Transformer(UpstreamConfig(encode_deadline_s=0.05), Slow())
    for _ in range(2):
        late = await transformer.transform(came(), JPEG, ACCEPT, Words())
        assert isinstance(late.verdict, Skip) and late.verdict.reason is Reason.DEADLINE
    gate.set()
    in_time = await transformer.transform(came(), JPEG, ACCEPT, Words())
    assert in_time.encoded == MADE or (in_time.encoded and in_time.encoded.body == MADE.body)
    assert len(begun) == 1, "one search for all who ask"
    await transformer.close()


async def test_closing_gives_up_what_is_under_way() -> None:
    class Stuck:
        async def encode(self, request: EncodeRequest) -> Encoded | Declined:
            await asyncio.Event().wait()
            raise AssertionError

    transformer = Transformer(UpstreamConfig(encode_deadline_s=0.05), Stuck())
    await transformer.transform(came(), JPEG, ACCEPT, Words())
    await transformer.close()
    assert transformer._under_way == {}


@pytest.mark.parametrize(("control", "stored"), [("max-age=60", True), ("no-store", False), ("private", False)])
async def test_only_what_may_be_stored_reaches_the_disk(tmp_path: Path, control: str, stored: bool) -> None:
    cache = EncodedCache(file=tmp_path / "encoded.sqlite", disk_bytes=100_000)
    transformer = Transformer(UpstreamConfig(), FakeEncoder(), cache)
    await transformer.transform(came(Cache_Control=control), JPEG, ACCEPT, Words())
    await transformer.close()
    later, encoder = EncodedCache(file=tmp_path / "encoded.sqlite", disk_bytes=100_000), FakeEncoder()
    again = Transformer(UpstreamConfig(), encoder, later)
    await again.transform(came(Cache_Control=control), JPEG, ACCEPT, Words())
    await again.close()
    assert (encoder.requests == []) is stored
