"""Which images the upstream proxy asks the captioner about."""

from __future__ import annotations

import pytest

from proxy.bundle import MEDIA_TYPE
from proxy.config import UpstreamConfig
from proxy.encode import Encoded, EncodeRequest
from proxy.headers import Headers
from proxy.negotiation import Accept
from proxy.policy import ResponseFacts
from proxy.transform import Transformer, Words

JPEG = b"\xff\xd8\xff\xe0" + bytes(5000)


class Asked:
    """A captioner and an encoder that note what they are asked."""

    def __init__(self) -> None:
        self.images: list[bytes] = []
        self.requests: list[EncodeRequest] = []

    async def words_for(self, data: bytes) -> str | None:
        self.images.append(data)
        return "A red bicycle"

    async def encode(self, request: EncodeRequest) -> Encoded:
        self.requests.append(request)
        return Encoded(b"bundle", MEDIA_TYPE, "prompt", 40, 30, "photograph")


@pytest.mark.parametrize(
    ("mode", "engine", "words", "cache_control", "prompt"),
    [
        ("prompt", "sketch@01", None, "max-age=60", "A red bicycle"),
        ("auto", "diffusion@01", None, "max-age=60", "A red bicycle"),
        ("prompt", "sketch@01", "the page's words", "max-age=60", "the page's words"),
        ("auto", "sketch@01", None, "max-age=60", None),
        ("prompt", "sketch@01", None, "private", None),
    ],
)
async def test_a_caption_is_the_prompt_where_the_page_has_none_and_a_bundle_carries_one(
    mode: str, engine: str, words: str | None, cache_control: str, prompt: str | None
) -> None:
    asked = Asked()
    origin = ResponseFacts(200, Headers.of([("Content-Type", "image/jpeg"), ("Cache-Control", cache_control)]))
    transformer = Transformer(UpstreamConfig(mode=mode), asked, captioner=asked)  # type: ignore[arg-type]
    await transformer.transform(origin, JPEG, Accept(engine, "0123456789abcdef"), Words(words))
    assert asked.requests[0].words == prompt
    assert asked.images == ([JPEG] if prompt == "A red bicycle" else [])
