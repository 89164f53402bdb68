"""A rule: what must hold, where it is written, and how to see it; and the checks that many rules share.

In: functions that ask a `Stand`. Out: `RULES`, in the order of the document. Refuses: two rules of one name.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import skimage.data
from PIL import Image, ImageOps

from proxy.sniff import sniff
from tests.conformance.origin import Fields, raw
from tests.conformance.stand import IMAGE, Got, Stand

Check = Callable[[Stand], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Rule:
    """`ours`: it is about what only a pair like ours has, so that no other proxy can be asked."""

    name: str
    group: str
    text: str
    source: str
    check: Check
    ours: bool = False


RULES: dict[str, Rule] = {}


def rule(name: str, text: str, source: str, *, ours: bool = False) -> Callable[[Check], Check]:
    """Enter the decorated check as a rule; its group is the name's first word."""

    def enter(check: Check) -> Check:
        assert name not in RULES, name
        RULES[name] = Rule(name, name.partition("-")[0], text, source, check, ours)
        return check

    return enter


@functools.cache
def picture(width: int = 600, height: int = 400) -> Image.Image:
    """A photograph."""
    return Image.fromarray(skimage.data.coffee()).resize((width, height), Image.Resampling.LANCZOS)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


PHOTO = saved(picture(), "JPEG", quality=85)
JPEG: Fields = (("Content-Type", "image/jpeg"),)
SERVED = raw(200, JPEG, PHOTO)


def opened(body: bytes) -> Image.Image:
    """The picture as a browser shows it."""
    with Image.open(io.BytesIO(body)) as image:
        image.load()
        return ImageOps.exif_transpose(image)


def shown(got: Got, like: Image.Image | None = None) -> Image.Image:
    """The picture a browser got: complete, of the type it is said to be, as large and much like `like`."""
    like = like or picture()
    answer = got.answer
    assert answer.status == 200 and answer.whole, (answer.status, answer.whole)
    assert sniff(answer.body) == answer.type, (answer.type, answer.body[:16])
    image = opened(answer.body)
    assert image.size == like.size, (image.size, like.size)
    small = [np.asarray(each.convert("RGB").resize((12, 8)), np.float32) for each in (image, like)]
    assert float(np.abs(small[0] - small[1]).mean()) < 20.0, "other colours"
    return image


def rewritten(got: Got, like: Image.Image | None = None) -> Image.Image:
    """The same for one that must not be the origin's file."""
    assert got.answer.body != PHOTO, "it passed as it was"
    return shown(got, like)


def untouched(got: Got, status: int, fields: Fields, body: bytes) -> None:
    """The origin's own bytes and fields, the fields in their order and spelling."""
    answer = got.answer
    assert answer.status == status, answer.status
    assert answer.body == body and answer.whole, (len(answer.body), len(body))
    rest = iter(answer.fields)
    for field in fields:
        assert any(field == other for other in rest), (field, answer.fields)


def passes(
    name: str,
    text: str,
    source: str,
    fields: Fields = JPEG,
    *,
    request: Fields = (),
    status: int = 200,
    body: bytes = PHOTO,
    method: str = "GET",
    accept: str = IMAGE,
    sent: bytes = b"",
) -> None:
    """A rule that something passes just as it came."""

    @rule(name, text, source)
    async def check(stand: Stand) -> None:
        got = await stand.ask(raw(status, fields, body), request, method=method, accept=accept, body=sent)
        untouched(got, status, fields, b"" if method == "HEAD" or status in (204, 304) else body)
        assert got.asked.method == method and got.asked.body == sent
