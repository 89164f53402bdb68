from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from mitmproxy import http
from mitmproxy.test import taddons

from addons.pagetext import PageText
from addons.upstream import Upstream
from proxy import bare
from proxy.bundle import MEDIA_TYPE
from proxy.config import UpstreamConfig
from proxy.encode import Declined, Encoded, EncodeRequest
from proxy.encode.classical import file_of
from proxy.ledger import Row
from proxy.negotiation import Skipped, Taken, parse_info
from proxy.pages import PageMemory, words_digest
from proxy.policy import Reason
from proxy.spool import Spool
from proxy.transform import Transformer
from tests.addons.flows import ASKING, NONCE, answered, ours, request, stream

JPEG = b"\xff\xd8\xff\xe0" + bytes(5000)
MADE = Encoded(b"bundle", MEDIA_TYPE, "thumbnail", 40, 30, "photograph")


class Bench:
    """An addon with a fake encoder, and what it recorded."""

    def __init__(
        self, answer: Callable[[], Encoded | Declined] = lambda: MADE, pages: bool = False, held: int = 34
    ) -> None:
        self.answer = answer
        self.requests: list[EncodeRequest] = []
        self.rows: list[Row] = []
        self.pages = PageText(PageMemory()) if pages else None
        self.spool = Spool(10_000_000, 180)
        transformer = Transformer(UpstreamConfig(), self)
        self.addon = Upstream(
            transformer, self.spool, pages=self.pages, record=self.rows.append, loop_id="sketchwire-me", max_held=held
        )

    async def encode(self, request: EncodeRequest) -> Encoded | Declined:
        self.requests.append(request)
        return self.answer()

    async def run(self, flow: http.HTTPFlow, body: bytes = JPEG, status: int = 200, **fields: str) -> http.HTTPFlow:
        """The whole life of a flow; streamed bodies are streamed."""
        self.addon.requestheaders(flow)
        if flow.response is None:
            answered(flow, body, status, **fields)
        self.addon.responseheaders(flow)
        assert flow.response is not None
        if callable(flow.response.stream):
            assert stream(flow, body) == body
        await self.addon.response(flow)
        return flow


async def test_an_asked_for_image_becomes_a_bundle() -> None:
    bench = Bench()
    flow = request(Sketchwire_Accept=ASKING, Sketchwire_Words="00" * 8)
    await bench.run(flow, ETag='"a"', Accept_Ranges="bytes")
    assert flow.response is not None and flow.response.content == b"bundle"
    assert flow.response.headers["content-type"] == MEDIA_TYPE and flow.response.headers["content-length"] == "6"
    info = parse_info(flow.response.headers["sketchwire-info"])
    assert isinstance(info, Taken) and (info.nonce, info.mode, info.origin_bytes) == (NONCE, "thumbnail", len(JPEG))
    assert ours(flow.request) == [] and flow.request.headers["cdn-loop"] == "sketchwire-me"
    (row,) = bench.rows
    assert (row.decision, row.mode, row.origin_bytes, row.engine) == (
        "reconstructed",
        "thumbnail",
        len(JPEG),
        "sketch@01234567",
    )
    assert 6 < row.link_bytes < 1000 and row.encode_ms is not None and row.total_ms is not None


@pytest.mark.parametrize(
    ("asking", "reason"),
    [({}, Reason.NOT_ASKED), ({"Sketchwire_Accept": ASKING, "Sketchwire_Original": "1"}, Reason.FORCED_ORIGINAL)],
)
async def test_who_does_not_ask_gets_what_the_origin_sent(asking: dict[str, str], reason: Reason) -> None:
    bench = Bench()
    flow = await bench.run(request(**asking), ETag='"a"')
    assert flow.response is not None
    assert list(flow.response.headers) == ["Content-Type", "Content-Length", "ETag"]
    assert bench.requests == [] and bench.rows[0].reason == reason.value and bench.rows[0].origin_bytes == len(JPEG)


async def test_declined_image_passes_with_its_own_head() -> None:
    bench = Bench(lambda: Declined(Reason.KIND, "a chart", "graphic"))
    flow = await bench.run(request(Sketchwire_Accept=ASKING), ETag='"a"', X_Other="kept")
    assert flow.response is not None and flow.response.content == JPEG
    assert flow.response.headers["etag"] == '"a"' and flow.response.headers["x-other"] == "kept"
    assert parse_info(flow.response.headers["sketchwire-info"]) == Skipped(Reason.KIND)
    assert (bench.rows[0].decision, bench.rows[0].reason, bench.rows[0].kind) == ("skipped", "kind", "graphic")


async def test_defects_in_the_encoder_let_the_original_pass_and_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    def defect() -> Encoded:
        raise RuntimeError("boom")

    bench = Bench(defect)
    flow = await bench.run(request(Sketchwire_Accept=ASKING))
    assert flow.response is not None and flow.response.content == JPEG
    assert flow.response.headers["content-type"] == "image/jpeg"
    assert bench.addon.failures == {"response": 1} and "boom" in caplog.text
    assert not bench.addon._held


async def test_a_defect_in_a_request_never_reaches_the_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(flow: http.HTTPFlow) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("addons.adapt.request_facts", defect)
    bench, flow = Bench(), request(Sketchwire_Accept=ASKING)
    bench.addon.requestheaders(flow)
    assert flow.response is not None and flow.response.status_code == 502
    assert bench.addon.failures == {"requestheaders": 1}


async def test_a_defect_at_an_answers_head_streams_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, flow = Bench(), request(Sketchwire_Accept=ASKING)
    bench.addon.requestheaders(flow)
    monkeypatch.setattr("proxy.rewrite.neutralised", lambda headers: 1 / 0)
    answered(flow, JPEG)
    bench.addon.responseheaders(flow)
    assert flow.response is not None and flow.response.stream is True
    await bench.addon.response(flow)
    assert bench.addon.failures == {"responseheaders": 1} and bench.requests == []


async def test_bodies_held_at_once_are_bounded() -> None:
    bench = Bench(held=2)
    flows = [request(f"/{n}.jpg", Sketchwire_Accept=ASKING) for n in range(3)]
    for flow in flows:
        bench.addon.requestheaders(flow)
        bench.addon.responseheaders(answered(flow, JPEG))
    held = [flow.response is not None and not flow.response.stream for flow in flows]
    assert held == [True, True, False]
    last = flows[2].response
    assert last is not None and parse_info(last.headers["sketchwire-info"]) == Skipped(Reason.BUSY)
    await bench.addon.response(flows[0])
    bench.addon.error(flows[1])
    assert not bench.addon._held


async def test_words_of_the_page_are_used_and_compared() -> None:
    bench = Bench(pages=True)
    assert bench.pages is not None
    page = b'<html><body><figure><img src="/a.jpg" alt="a cup of coffee"></figure></body></html>'
    await bench.run(request("/", Accept="text/html", Sketchwire_Accept=ASKING), page, Content_Type="text/html")
    await bench.pages.wait()
    words = bench.pages.words_for("127.0.0.1|0123456789ab", "http://site.test/a.jpg", None)
    assert words is not None and "a cup of coffee" in words
    reads = ASKING.replace("sketch@", "diffusion@")
    for digest, known in ((words_digest(words).hex(), True), ("00" * 8, False)):
        await bench.run(request(Sketchwire_Accept=reads, Sketchwire_Words=digest))
        assert bench.requests[-1].words == words and bench.requests[-1].words_known_downstream is known
    await bench.run(request(Sketchwire_Accept=ASKING, Sketchwire_Words="00" * 8))
    assert bench.requests[-1].words is None, "an engine that does not read"
    other = reads.replace("0123456789ab", "ba9876543210")
    await bench.run(request(Sketchwire_Accept=other))
    assert bench.requests[-1].words is None, "another client's pages"


async def test_what_pages_and_addresses_call_a_logo_is_told_to_the_encoder() -> None:
    bench = Bench(pages=True)
    assert bench.pages is not None
    page = b'<html><body><a class="brand" href="/"><img src="/a.jpg"></a><img src="/b.jpg"></body></html>'
    await bench.run(request("/", Accept="text/html", Sketchwire_Accept=ASKING), page, Content_Type="text/html")
    await bench.pages.wait()
    for path in ("/a.jpg", "/b.jpg"):
        await bench.run(request(path, Sketchwire_Accept=ASKING))
    assert [asked.logo for asked in bench.requests] == [True, False]
    await bench.run(request("/a.jpg", Sketchwire_Accept=ASKING.replace("0123456789ab", "ba9876543210")))
    assert len(bench.requests) == 2, "to another client it is what /b.jpg was to this one"
    await bench.run(request("/a.jpg", Sketchwire_Accept=ASKING))
    assert len(bench.requests) == 2, "and it is still a logo to who saw the page"
    alone = Bench()
    await alone.run(request("/site-logo.jpg", Sketchwire_Accept=ASKING))
    assert [asked.logo for asked in alone.requests] == [True]


async def test_foreign_bundles_and_fields_are_neutralised() -> None:
    bench = Bench()
    info = f"n={NONCE};d=take;m=edges;o=5"
    flow = await bench.run(
        request(Sketchwire_Accept=ASKING), b"x" * 2000, Content_Type=MEDIA_TYPE, Sketchwire_Info=info
    )
    assert flow.response is not None and flow.response.headers["content-type"] == "application/octet-stream"
    assert ours(flow.response) == []
    flow = await bench.run(request(), Sketchwire_Info=info, Sketchwire_X="y")
    assert flow.response is not None and ours(flow.response) == []


@pytest.mark.parametrize("field", [{"CDN_Loop": "cdn, sketchwire-me"}, {"Via": "1.1 a, 1.1 Sketchwire-Me (x)"}])
async def test_loops_are_ended(field: dict[str, str]) -> None:
    bench, flow = Bench(), request(**field)
    bench.addon.requestheaders(flow)
    assert flow.response is not None and flow.response.status_code == 508


async def test_originals_come_from_the_spool() -> None:
    bench = Bench()
    await bench.run(request(Sketchwire_Accept=ASKING), ETag='"a"', Content_Type="image/jpeg")
    whole = await bench.run(request(Sketchwire_Accept=ASKING, Sketchwire_Original="1"), b"not asked")
    assert whole.response is not None and whole.response.content == JPEG and whole.response.headers["etag"] == '"a"'
    for value, status, part in (
        ("bytes=0-3", 206, JPEG[:4]),
        ("bytes=-2", 206, JPEG[-2:]),
        ("bytes=9999-", 416, b""),
        ("bytes=0-1,3-4", 200, JPEG),
    ):
        flow = await bench.run(request(Sketchwire_Accept=ASKING, Range=value), b"not asked")
        assert flow.response is not None and (flow.response.status_code, flow.response.content) == (status, part)
        assert flow.response.headers["content-length"] == str(len(part))
    for stranger in (
        request(Sketchwire_Accept=ASKING.replace("0123456789ab", "ba9876543210"), Sketchwire_Original="1"),
        request(Sketchwire_Accept=ASKING, Sketchwire_Original="1", Cookie="a=1"),
    ):
        bench.addon.requestheaders(stranger)
        assert stranger.response is None, "other people's originals are not handed out"


async def test_the_origins_304_is_told_under_the_tag_the_browser_knows() -> None:
    bench = Bench()
    first = await bench.run(request(Sketchwire_Accept=ASKING), ETag='"a"')
    assert first.response is not None
    tag = first.response.headers["etag"]
    flow = request(Sketchwire_Accept=ASKING, If_None_Match=tag)
    bench.addon.requestheaders(flow)
    assert flow.request.headers["if-none-match"] == '"a"'
    bench.addon.responseheaders(answered(flow, b"", 304, ETag='"a"'))
    assert flow.response is not None and flow.response.headers["etag"] == tag


async def test_http2_names_stay_lower_case_and_the_version_stays() -> None:
    bench, flow = Bench(), request(Sketchwire_Accept=ASKING)
    flow.request.http_version = "HTTP/2.0"
    bench.addon.requestheaders(flow)
    answered(flow, JPEG, ETag='"a"')
    assert flow.response is not None
    flow.response.http_version = "HTTP/2.0"
    bench.addon.responseheaders(flow)
    await bench.addon.response(flow)
    assert flow.response.http_version == "HTTP/2.0"
    for message in (flow.request, flow.response):
        assert all(name == name.lower() for name in message.headers)


async def test_uploads_are_passed_on_as_they_come() -> None:
    bench = Bench()
    small, large = request(method="POST", Content_Length="100"), request(method="POST", Content_Length="1000000")
    chunked = request(method="POST", Transfer_Encoding="chunked")
    for flow in (small, large, chunked):
        bench.addon.requestheaders(flow)
    assert [bool(flow.request.stream) for flow in (small, large, chunked)] == [False, True, True]


async def test_concurrent_flows_do_not_mix() -> None:
    bench = Bench()
    bench.answer = lambda: MADE
    flows = [request(f"/{n}.jpg", Sketchwire_Accept=ASKING.replace(NONCE, f"{n:016x}")) for n in range(10)]
    await asyncio.gather(*(bench.run(flow, JPEG + bytes((n,))) for n, flow in enumerate(flows)))
    for n, flow in enumerate(flows):
        assert flow.response is not None
        info = parse_info(flow.response.headers["sketchwire-info"])
        assert isinstance(info, Taken) and info.nonce == f"{n:016x}"


async def test_mitmproxy_finds_the_hooks() -> None:
    bench, flow = Bench(), request(Sketchwire_Accept=ASKING)
    with taddons.context(bench.addon) as context:
        answered(flow, JPEG)
        response, flow.response = flow.response, None
        bench.addon.requestheaders(flow)
        flow.response = response
        await context.cycle(bench.addon, flow)
    assert flow.response is not None


async def test_a_file_is_sent_with_its_own_head() -> None:
    for etag, tag in (('"a"', 'W/"swb-'), (None, 'W/"swd-')):
        bench = Bench(lambda: Encoded(b"avif!", "image/avif", "avif", 40, 30, "chart"))
        flow = request(Sketchwire_Accept=ASKING)
        await bench.run(flow, **({"ETag": etag} if etag else {}))
        assert flow.response is not None and flow.response.content == b"avif!"
        fields = flow.response.headers
        assert fields["content-type"] == "image/avif" and fields["content-length"] == "5"
        assert fields["etag"].startswith(tag) and "Save-Data" in fields["vary"]
        info = parse_info(fields["sketchwire-info"])
        assert isinstance(info, Taken) and (info.mode, info.content_type) == ("avif", "image/jpeg")
        assert [(row.decision, row.mode, row.engine) for row in bench.rows] == [("recoded", "avif", "")]


async def test_an_avif_file_crosses_without_its_boxes_where_that_is_welcome() -> None:
    made = file_of(np.full((40, 48, 3), 90, np.uint8), "avif", 50)
    for formats, sent in (("avif,webp,av1", bare.bared(made.body)), ("avif,webp", made.body)):
        bench = Bench(lambda: Encoded(made.body, made.media_type, "avif", 48, 40, "chart"))
        flow = request(Sketchwire_Accept=f"{ASKING};formats={formats}")
        await bench.run(flow)
        assert flow.response is not None and flow.response.content == sent
        fields = flow.response.headers
        assert fields["content-type"] == (bare.MEDIA_TYPE if sent != made.body else "image/avif")
        assert fields["content-length"] == str(len(sent or b"")) and fields["etag"].startswith('W/"swd-')
    assert len(bare.bared(made.body) or b"") < len(made.body) - 250


async def test_an_origins_bare_file_is_not_ours() -> None:
    bench, flow = Bench(), request(Sketchwire_Accept=ASKING)
    await bench.run(flow, b"av1", Content_Type=bare.MEDIA_TYPE)
    assert flow.response is not None and flow.response.headers["content-type"] == "application/octet-stream"


async def test_the_network_and_the_browser_set_the_terms() -> None:
    bench = Bench()
    await bench.run(request(Sketchwire_Accept=ASKING, Save_Data="on"))
    await bench.run(request(Sketchwire_Accept=ASKING + ";tier=faithful", Accept="image/webp,*/*"), JPEG + b"2")
    assert [(asked.tier, asked.formats) for asked in bench.requests] == [
        ("economy", ("avif", "webp")),
        ("faithful", ("webp",)),
    ]
