from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http

from addons import httpcache
from addons.httpcache import VISIT, HttpCache, Settings
from addons.upstream import Upstream
from proxy.bundle import MEDIA_TYPE
from proxy.cache.keys import KeyMaker
from proxy.cache.store import Store
from proxy.config import UpstreamConfig
from proxy.encode import Declined, Encoded, EncodeRequest
from proxy.ledger import Row
from proxy.spool import Spool
from proxy.transform import Transformer
from tests.addons.flows import ASKING, answered, request, stream

JPEG = b"\xff\xd8\xff\xe0" + bytes(5000)
MADE = Encoded(b"bundle", MEDIA_TYPE, "thumbnail", 40, 30, "photograph")
CSS = b"a { color: red }" * 100


class Bench:
    """Upstream between the cache's two addons, as the proxy has them; `asked` counts what reached the origin."""

    def __init__(self, store: Store) -> None:
        self.now_s = 1_800_000_000.0
        self.rows: list[Row] = []
        self.asked = 0
        self.cache = HttpCache(
            store, KeyMaker(b"key", True), Settings(True, 60.0, tells=False), clock_s=lambda: self.now_s
        )
        self.before, self.behind = self.cache.before, self.cache.behind
        transformer = Transformer(UpstreamConfig(), self)
        self.addon = Upstream(transformer, Spool(0, 180), record=self.rows.append, loop_id="sketchwire-me")

    async def encode(self, request: EncodeRequest) -> Encoded | Declined:
        return MADE

    async def run(self, flow: http.HTTPFlow, body: bytes = CSS, status: int = 200, **fields: Any) -> http.HTTPFlow:
        """The whole life of a flow; the origin gives `body` with `fields` if it is asked."""
        self.addon.requestheaders(flow)
        await self.behind.requestheaders(flow)
        from_store = flow.response is not None
        if not from_store:
            self.asked += 1
            answered(flow, body, status, **({"Content_Type": "text/css"} | fields))
        self.before.responseheaders(flow)
        self.addon.responseheaders(flow)
        self.behind.responseheaders(flow)
        assert flow.response is not None
        if callable(flow.response.stream) and not from_store:
            assert stream(flow, *([body] if body else [])) == body
            flow.response.raw_content = None
        self.before.response(flow)
        await self.addon.response(flow)
        await self.cache.store.settle()
        return flow


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = Store(tmp_path / "cache", 10_000_000, 1_000_000)
    await store.open()
    made = Bench(store)
    yield made
    assert made.cache.in_hand_bytes == 0 and not made.cache.failures
    await store.close()


async def test_a_second_request_is_answered_from_the_store(bench: Bench) -> None:
    await bench.run(request("/a.css"), Cache_Control="max-age=60")
    bench.now_s += 10
    flow = await bench.run(request("/a.css"))
    assert bench.asked == 1 and flow.response is not None
    assert flow.response.raw_content == CSS and flow.response.headers["age"] == "10"
    bench.now_s += 60
    await bench.run(request("/a.css"))
    assert bench.asked == 2


async def test_an_image_is_kept_as_the_origin_sent_it_and_encoded_again(bench: Bench) -> None:
    fields: dict[str, Any] = {"Cache_Control": "max-age=60", "Content_Type": "image/jpeg"}
    for _ in range(2):
        flow = await bench.run(request(Sketchwire_Accept=ASKING), JPEG, **fields)
        assert flow.response is not None and flow.response.raw_content == b"bundle"
    assert bench.asked == 1
    assert [row.cache_hit for row in bench.rows] == [False, True]
    plain = await bench.run(request())
    assert plain.response is not None and plain.response.raw_content == JPEG and bench.asked == 1


async def test_a_304_becomes_the_stored_answer_and_goes_through_the_encoder(bench: Bench) -> None:
    fields: dict[str, Any] = {"Cache_Control": "no-cache", "Content_Type": "image/jpeg", "ETag": '"v1"'}
    await bench.run(request(Sketchwire_Accept=ASKING), JPEG, **fields)
    flow = request(Sketchwire_Accept=ASKING)
    await bench.run(flow, b"", 304, ETag='"v1"', Cache_Control="no-cache")
    assert flow.request.headers["if-none-match"] == '"v1"'
    assert flow.response is not None and flow.response.status_code == 200
    assert flow.response.raw_content == b"bundle" and bench.rows[-1].cache_hit


async def test_a_clients_own_question_stays_its_own(bench: Bench) -> None:
    await bench.run(request("/a.css"), Cache_Control="max-age=10", ETag='"v1"')
    bench.now_s += 20
    flow = await bench.run(request("/a.css", If_None_Match='"v1"'), b"", 304, ETag='"v1"', Cache_Control="max-age=10")
    assert flow.response is not None and flow.response.status_code == 304 and bench.asked == 2
    again = await bench.run(request("/a.css"))  # the 304 made what is stored fresh again
    assert again.response is not None and again.response.raw_content == CSS and bench.asked == 2
    held = await bench.run(request("/a.css", If_None_Match='W/"v1"'))
    assert held.response is not None and held.response.status_code == 304 and bench.asked == 2


async def test_who_names_two_hosts_neither_reads_nor_writes_the_store(bench: Bench) -> None:
    flow = request("/a.css", Host="evil.test")
    await bench.run(flow, b"evil", Cache_Control="max-age=60")
    assert VISIT not in flow.metadata
    fronted = request("/a.css")
    fronted.request.scheme, fronted.request.port = "https", 443
    fronted.client_conn.tls, fronted.client_conn.sni = True, "evil.test"
    await bench.run(fronted, b"evil", Cache_Control="max-age=60")
    assert VISIT not in fronted.metadata
    honest = await bench.run(request("/a.css"), Cache_Control="max-age=60")
    assert honest.response is not None and bench.asked == 3
    await bench.run(request("/a.css", Host="SITE.test:80"))
    assert bench.asked == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"Upgrade": "websocket", "Connection": "Upgrade"},
        {"Content_Length": "5"},
        {"Transfer_Encoding": "chunked"},
        {"If_Match": '"a"'},
        {"If_Unmodified_Since": "Sun, 01 Nov 2026 10:00:00 GMT"},
        {"Cache_Control": "no-store"},
        {"Cache_Control": "no-cache"},
        {"Pragma": "no-cache"},
    ],
)
async def test_what_a_cache_leaves_alone(bench: Bench, fields: dict[str, str]) -> None:
    await bench.run(request("/a.css"), Cache_Control="max-age=60")
    await bench.run(request("/a.css", **fields))
    assert bench.asked == 2


async def test_an_answer_that_may_be_cut_or_came_short_is_not_kept(bench: Bench) -> None:
    flow = request("/a.css")
    bench.addon.requestheaders(flow)
    await bench.behind.requestheaders(flow)
    answered(flow, CSS, Content_Type="text/css", Cache_Control="max-age=60")
    assert flow.response is not None
    del flow.response.headers["content-length"]
    for addon in (bench.before, bench.addon, bench.behind):
        addon.responseheaders(flow)
    assert flow.metadata[VISIT].keep is None
    bench.before.error(flow)
    cut = request("/b.css")
    bench.addon.requestheaders(cut)
    await bench.behind.requestheaders(cut)
    answered(cut, CSS, Content_Type="text/css", Cache_Control="max-age=60")
    for addon in (bench.before, bench.addon, bench.behind):
        addon.responseheaders(cut)
    assert cut.response is not None and callable(cut.response.stream)
    cut.response.stream(CSS[:50])
    bench.before.error(cut)
    await bench.cache.store.settle()
    assert bench.cache.store.entries == 0


async def test_what_an_address_gives_no_more_is_forgotten(bench: Bench) -> None:
    await bench.run(request("/a.css"), Cache_Control="max-age=60")
    await bench.run(request("/a.css", Cache_Control="no-cache"), b"private now", Cache_Control="private, max-age=60")
    assert bench.cache.store.entries == 0
    await bench.run(request("/a.css"), Cache_Control="max-age=60")
    await bench.run(request("/a.css", "DELETE"))
    assert bench.cache.store.entries == 0


async def test_too_many_bodies_in_hand_mean_the_origin_is_asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.run(request("/a.css"), Cache_Control="max-age=60")
    monkeypatch.setattr(httpcache, "IN_HAND_BYTES", 10)
    await bench.run(request("/a.css"), Cache_Control="max-age=60")
    assert bench.asked == 2


async def test_a_defect_lets_the_request_go_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.run(request("/a.css"), Cache_Control="max-age=60")

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    for name in ("judge", "judge_store"):
        monkeypatch.setattr(httpcache, name, broken)
        flow = await bench.run(request(f"/{name}.css" if name == "judge_store" else "/a.css"))
        assert flow.response is not None and flow.response.status_code == 200
    assert bench.asked == 3 and sum(bench.cache.failures.values()) == 2
    bench.cache.failures.clear()


async def test_only_if_cached_asks_nobody(bench: Bench) -> None:
    flow = await bench.run(request("/a.css", Cache_Control="only-if-cached"))
    assert flow.response is not None and flow.response.status_code == 504 and bench.asked == 0
