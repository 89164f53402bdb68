"""Pairs of pictures are kept of what anybody may see, and of nothing else."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from addons.gallery import Gallery, is_private
from addons.upstream import Upstream
from proxy.bundle import MEDIA_TYPE
from proxy.config import UpstreamConfig
from proxy.encode import Declined, Encoded, EncodeRequest
from proxy.gallery.shelf import Pair, Shelf, pairs
from proxy.headers import Headers
from proxy.ledger import Row
from proxy.policy import Reason
from proxy.spool import Spool
from proxy.transform import Transformer
from tests.addons.flows import ASKING, answered, request
from tests.proxy.gallery.pictures import picture

ADA = "a" * 16
PHOTO = picture(1000, 700)


class Bench:
    """Upstream with a fake encoder, and the gallery behind it."""

    def __init__(self, folder: Path, most: int = 2) -> None:
        self.rows: list[Row] = []
        self.made = 0
        self.answer: Callable[[], Encoded | Declined] = self._next
        spool = Spool(10_000_000, 180)
        self.folder = folder
        self.gallery = Gallery(Shelf(folder, most, 86_400.0), spool, self.rows.append, lambda client, flow: ADA)
        self.upstream = Upstream(Transformer(UpstreamConfig(), self), spool, record=self.gallery.record)

    def _next(self) -> Encoded:
        self.made += 1
        return Encoded(b"bundle %d" % self.made, MEDIA_TYPE, "thumbnail", 1000, 700, "photograph", 0.5)

    async def encode(self, asked: EncodeRequest) -> Encoded | Declined:
        return self.answer()

    async def browse(self, asking: dict[str, str] | None = None, photo: bytes = PHOTO, **fields: str) -> Any:
        flow = request(f"/{self.made}.jpg", **({"Sketchwire_Accept": ASKING} | (asking or {})))
        self.upstream.requestheaders(flow)
        answered(flow, photo, **fields)
        self.upstream.responseheaders(flow)
        await self.upstream.response(flow)
        self.gallery.response(flow)
        if self.gallery._making is not None:
            await self.gallery._making
        return flow

    @property
    def kept(self) -> list[Pair]:
        return list(pairs(self.folder))


async def test_a_small_original_is_kept_with_what_was_sent(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "gallery")
    flow = await bench.browse()
    [kept] = bench.kept
    assert kept.sent == flow.response.content == b"bundle 1" and len(bench.rows) == 1
    with Image.open(io.BytesIO(kept.before)) as image:
        assert image.size == (320, 224)
    facts = kept.facts
    assert (facts.quality, facts.media_type, facts.mode, facts.origin_bytes) == (
        0.5,
        MEDIA_TYPE,
        "thumbnail",
        len(PHOTO),
    )
    [file] = bench.folder.iterdir()
    assert ADA in file.name and b"site.test" not in file.read_bytes() and "site" not in file.name


@pytest.mark.parametrize(
    ("asking", "fields"),
    [
        ({"Cookie": "a=b"}, {}),
        ({"Authorization": "Basic x"}, {}),
        ({}, {"Cache_Control": "private, max-age=9"}),
        ({}, {"Cache_Control": "no-store"}),
        ({}, {"Set_Cookie": "a=b"}),
        ({}, {"Vary": "Accept, Cookie"}),
    ],
)
async def test_what_may_be_somebodys_own_is_not_kept(
    tmp_path: Path, asking: dict[str, str], fields: dict[str, str]
) -> None:
    bench = Bench(tmp_path / "gallery")
    await bench.browse(asking, **fields)
    assert bench.kept == [] and not bench.folder.exists()
    if fields:  # the shared headers alone say it
        headers = Headers.of([(name.replace("_", "-"), value) for name, value in fields.items()])
        assert is_private(Headers(()), headers)
    await bench.browse(Cache_Control="public, max-age=60")
    assert len(bench.kept) == 1


async def test_originals_and_broken_pictures_leave_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "gallery")
    bench.answer = lambda: Declined(Reason.NO_GAIN)
    await bench.browse()
    assert bench.kept == [] and len(bench.rows) == 1


async def test_a_full_shelf_keeps_the_extremes(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "gallery", most=1)
    for number, score in enumerate((0.5, 0.7, 0.6, 0.3, 0.9)):
        bench.answer = lambda score=score: Encoded(b"%f" % score, MEDIA_TYPE, "edges", 9, 9, "photograph", score)  # type: ignore[misc]
        await bench.browse(photo=picture(400, 300, shift=number))
    assert [one.facts.quality for one in bench.kept] == [0.3, 0.9]


async def test_a_shelf_that_cannot_be_written_fails_no_flow(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "file").write_bytes(b"")
    bench = Bench(tmp_path / "file" / "gallery")
    flow = await bench.browse()
    assert flow.response.content == b"bundle 1" and "is not kept" in caplog.text


async def test_old_pairs_go_while_nobody_browses(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "gallery")
    await bench.browse()
    bench.gallery._shelf = Shelf(bench.folder, 2, -1.0)
    await bench.gallery.running()
    assert bench.gallery._tidying is not None
    while bench.kept:
        await asyncio.sleep(0)
    await bench.gallery.done()
