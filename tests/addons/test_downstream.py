from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from mitmproxy import flow as flows
from mitmproxy import http

from addons.downstream import Downstream
from addons.pagetext import PageText
from proxy import bare, etag
from proxy.bundle import MEDIA_TYPE
from proxy.headers import Headers
from proxy.ledger import Row
from proxy.negotiation import Taken, format_info, parse_accept
from proxy.pages import PageMemory, words_digest
from proxy.policy import Reason
from proxy.refetch import Refetched, RefetchError
from proxy.restore import Failed, Offer, Restored
from tests.addons.flows import NONCE, answered, ours, request, stream

SHOWN = Restored(b"picture", "image/webp", 40, 30, "sketch@01234567", queue_ms=1.0, reconstruct_ms=2.0)
BUNDLE = b"bundle"


@dataclass
class FakeRestorer:
    answer: Restored | Failed = SHOWN
    asked: list[tuple[object, ...]] = field(default_factory=list)
    offer: Offer = field(default_factory=lambda: Offer("sketch@01234567", ("edges",)))

    async def restore(self, *asked: object) -> Restored | Failed:
        self.asked.append(asked)
        return self.answer

    async def recode(self, body: bytes, media_type: str, accept: str, original: str) -> tuple[bytes, str] | Failed:
        self.asked.append((body, media_type, accept, original))
        return self.answer if isinstance(self.answer, Failed) else (b"recoded", "image/jpeg")


@dataclass
class FakeRefetcher:
    answer: Refetched | RefetchError = field(default_factory=lambda: RefetchError("dead"))
    asked: list[tuple[str, Headers, float]] = field(default_factory=list)

    async def fetch(self, url: str, request: Headers, deadline_s: float) -> Refetched:
        self.asked.append((url, request, deadline_s))
        if isinstance(self.answer, RefetchError):
            raise self.answer
        return self.answer


class Bench:
    """An addon with a fake restorer and refetcher, and what it recorded."""

    def __init__(self, pages: bool = False) -> None:
        self.restorer, self.refetcher = FakeRestorer(), FakeRefetcher()
        self.rows: list[Row] = []
        self.pages = PageText(PageMemory()) if pages else None
        self.addon = Downstream(
            self.restorer,  # type: ignore[arg-type]
            self.refetcher,  # type: ignore[arg-type]
            pages=self.pages,
            record=self.rows.append,
        )

    def ask(self, flow: http.HTTPFlow) -> str:
        """Send the request on; the nonce it carries."""
        self.addon.requestheaders(flow)
        accept = parse_accept(flow.request.headers.get("Sketchwire-Accept"))
        return accept.nonce if accept else NONCE

    async def run(self, flow: http.HTTPFlow, body: bytes = BUNDLE, status: int = 200, **fields: str) -> http.HTTPFlow:
        """The whole life of a flow whose answer is a bundle, unless fields say otherwise."""
        nonce = self.ask(flow)
        info = format_info(Taken(nonce, "thumbnail", 5000, 12, "image/jpeg", "photograph"))
        bundle = {
            "Content_Type": MEDIA_TYPE,
            "Sketchwire_Info": info,
            "Cache_Control": "max-age=600",
            "ETag": 'W/"swb-x"',
        }
        if flow.response is None:
            answered(flow, body, status, **(bundle | fields))
        self.addon.responseheaders(flow)
        assert flow.response is not None
        if callable(flow.response.stream):
            assert stream(flow, body) == body
        await self.addon.response(flow)
        return flow


async def test_a_bundle_becomes_a_picture() -> None:
    bench = Bench()
    flow = await bench.run(request())
    assert flow.response is not None and flow.response.content == b"picture" and flow.response.status_code == 200
    fields = flow.response.headers
    assert fields["content-type"] == "image/webp" and fields["content-length"] == "7"
    assert fields["cache-control"] == "private, no-cache" and fields["etag"] == 'W/"swb-x"'
    assert ours(flow.response) == []
    data, words, accept, original, client = bench.restorer.asked[0]
    assert (
        (data, words, original) == (BUNDLE, None, "image/jpeg")
        and "image/webp" in str(accept)
        and len(str(client)) == 12
    )
    (row,) = bench.rows
    assert (row.decision, row.engine, row.mode, row.kind) == (
        "reconstructed",
        "sketch@01234567",
        "thumbnail",
        "photograph",
    )
    assert (row.origin_bytes, row.delivered_bytes, row.encode_ms, row.width_px) == (5000, 7, 12.0, 40)
    assert len(BUNDLE) < row.link_bytes < 1500 and row.refetch_bytes == 0


async def test_the_browser_learns_where_the_pixels_come_from() -> None:
    bench, told = Bench(), "source=trainedAlgorithmicMedia;engine=sketch@01234567"
    bench.restorer.answer = replace(SHOWN, provenance=told)
    flow = await bench.run(request(), Sketchwire_Provenance="source=digitalCapture;engine=camera")
    assert flow.response is not None and flow.response.headers.get_all("Sketchwire-Provenance") == [told]
    assert ours(flow.response) == ["Sketchwire-Provenance"]


async def test_no_origin_can_forge_it() -> None:
    forged = "source=trainedAlgorithmicMedia;engine=sketch@01234567"
    flow = await Bench().run(request(), body=b"\xff\xd8\xff", Content_Type="image/jpeg", Sketchwire_Provenance=forged)
    assert flow.response is not None and ours(flow.response) == []


async def test_what_we_can_draw_is_told_where_it_matters() -> None:
    bench = Bench()
    for fields, told in (
        ({}, True),
        ({"Accept": "*/*"}, True),
        ({"Range": "bytes=0-1"}, True),
        ({"Sec_Fetch_Dest": "script"}, False),
        ({"Sec_Fetch_Dest": "document"}, False),
        ({"Accept": "text/css,*/*"}, False),
        ({"Accept": "text/html"}, False),
    ):
        flow = request(**fields)
        bench.ask(flow)
        assert ("Sketchwire-Accept" in flow.request.headers) is told
    told_twice = [parse_accept(_asked(bench).request.headers["Sketchwire-Accept"]) for _ in range(2)]
    assert told_twice[0] == told_twice[1] and told_twice[0] is not None
    assert (told_twice[0].engine, told_twice[0].modes) == ("sketch@01234567", ("edges",))
    assert Bench().ask(request()) != Bench().ask(request()), "another process, another nonce"


def _asked(bench: Bench) -> http.HTTPFlow:
    flow = request()
    bench.ask(flow)
    return flow


async def test_pages_are_asked_for_with_our_name_for_the_client_only_if_they_are_read() -> None:
    for pages in (True, False):
        flow = request("/", Accept="text/html")
        Bench(pages).ask(flow)
        assert ("Sketchwire-Accept" in flow.request.headers) is pages


async def test_a_browser_cannot_speak_for_us() -> None:
    bench, flow = Bench(), request(Sketchwire_Accept="v=1;engine=x;nonce=ffffffffffffffff", Sketchwire_Words="0" * 16)
    assert bench.ask(flow) != "f" * 16
    assert (
        "Sketchwire-Words" not in flow.request.headers and len(flow.request.headers.get_all("Sketchwire-Accept")) == 1
    )


async def test_the_original_is_passed_on_as_a_wish() -> None:
    bench, flow = Bench(), request(Sketchwire_Original="1")
    await bench.run(flow, b"x" * 5000, Content_Type="image/jpeg", Sketchwire_Info="d=skip;r=forced-original")
    assert flow.request.headers["Sketchwire-Original"] == "1"
    assert flow.response is not None and ours(flow.response) == []
    assert (bench.rows[0].decision, bench.rows[0].reason) == ("original", "forced-original")


@pytest.mark.parametrize(
    "fields",
    [
        {"Sketchwire_Info": f"n={NONCE};d=take;m=edges;o=5"},
        {"Sketchwire_Info": "d=skip;r=kind"},
        {"Sketchwire_Info": "garbage"},
        {"Content_Length": "99999999"},
    ],
)
async def test_only_our_own_upstreams_bundles_are_unpacked(fields: dict[str, str]) -> None:
    bench = Bench()
    flow = await bench.run(request(), **fields)
    assert bench.restorer.asked == []
    assert flow.response is not None and flow.response.headers["content-type"] == "application/octet-stream"
    assert ours(flow.response) == [] and bench.rows[0].reason in ("foreign-bundle", "kind")


async def test_no_bundle_is_taken_where_none_was_asked_for() -> None:
    bench = Bench()
    nonce = bench.ask(request())
    info = format_info(Taken(nonce, "edges", 5))
    await bench.run(request(Sec_Fetch_Dest="script"), Sketchwire_Info=info)
    await bench.run(request(), status=404, Sketchwire_Info=info)
    assert bench.restorer.asked == []


async def test_previews_are_not_stored() -> None:
    bench = Bench()
    bench.restorer.answer = replace(SHOWN, engine="preview", degraded=True, reason=Reason.DEADLINE)
    flow = await bench.run(request())
    assert flow.response is not None and flow.response.headers["cache-control"] == "no-store"
    assert "etag" not in flow.response.headers
    assert (bench.rows[0].decision, bench.rows[0].reason) == ("preview", "deadline")
    again = request(If_None_Match='W/"swb-x"')
    bench.ask(again)
    assert again.response is None, "not confirmed without the link"


async def test_what_cannot_be_shown_is_fetched_again_and_charged() -> None:
    bench = Bench()
    bench.restorer.answer = Failed(Reason.BROKEN)
    original = Headers(
        (("Content-Type", "image/jpeg"), ("ETag", '"a"'), ("Sketchwire-Info", "d=skip;r=forced-original"))
    )
    bench.refetcher.answer = Refetched(200, original, b"original", 999)
    flow = await bench.run(request(Cookie="a=1"))
    assert flow.response is not None and flow.response.content == b"original"
    assert flow.response.headers["etag"] == '"a"' and ours(flow.response) == []
    ((url, sent, _),) = bench.refetcher.asked
    assert url == "http://site.test/a.jpg" and sent.get("cookie") == "a=1" and sent.get("Sketchwire-Accept")
    row = bench.rows[0]
    assert (row.decision, row.reason, row.refetch_bytes, row.delivered_bytes) == ("original", "broken", 999, 8)


async def test_when_nothing_helps_there_is_a_502() -> None:
    bench = Bench()
    bench.restorer.answer = Failed(Reason.BROKEN)
    flow = await bench.run(request())
    assert flow.response is not None and flow.response.status_code == 502
    assert (bench.rows[0].decision, bench.rows[0].reason) == ("error", "broken")


async def test_a_defect_never_hands_a_bundle_to_the_browser() -> None:
    bench = Bench()
    bench.restorer.answer = None  # type: ignore[assignment]
    flow = await bench.run(request())
    assert flow.response is not None and flow.response.status_code == 502 and flow.response.content != BUNDLE
    assert bench.addon.failures == {"response": 1}


async def test_fresh_pictures_are_confirmed_here_and_others_are_asked_for() -> None:
    bench = Bench()
    await bench.run(request())
    again = request(If_None_Match='W/"swb-x"')
    bench.ask(again)
    assert again.response is not None and again.response.status_code == 304
    assert again.response.headers["etag"] == 'W/"swb-x"' and "content-length" not in again.response.headers
    assert bench.rows[-1].reason == "not-modified" and bench.rows[-1].link_bytes == 0
    for other in (
        request(If_None_Match='W/"swb-x"', Cookie="a=1"),
        request("/b.jpg", If_None_Match='W/"swb-x"'),
        request(If_None_Match='W/"swb-x"', Cache_Control="max-age=0"),
        request(If_None_Match='W/"swb-x"', Sketchwire_Original="1"),
    ):
        bench.ask(other)
        assert other.response is None


async def test_an_image_without_a_tag_gets_one_of_ours() -> None:
    bench = Bench()
    flow = await bench.run(request(), ETag="")
    assert flow.response is not None
    tag = flow.response.headers["etag"]
    assert etag.is_ours(tag) and etag.unwrap(tag) is None


async def test_a_304_for_a_reconstruction_keeps_it_revalidated() -> None:
    bench = Bench()
    flow = await bench.run(request(If_None_Match='W/"swb-x"'), b"", 304, Content_Type="image/jpeg")
    assert flow.response is not None and flow.response.headers["cache-control"] == "private, no-cache"
    again = request(If_None_Match='W/"swb-x"')
    bench.ask(again)
    assert again.response is not None, "and fresh for as long as the origin says"
    foreign = await bench.run(request("/b.jpg", If_None_Match='"a"'), b"", 304, ETag='"a"')
    assert foreign.response is not None and foreign.response.headers["cache-control"] == "max-age=600"


async def test_words_of_the_page_are_digested_and_kept_for_the_picture() -> None:
    bench = Bench(pages=True)
    assert bench.pages is not None
    page = b'<html><body><figure><img src="/a.jpg" alt="a cup of coffee"></figure></body></html>'
    await bench.run(request("/", Accept="text/html"), page, Content_Type="text/html", Sketchwire_Info="")
    await bench.pages.wait()
    flow = await bench.run(request(Referer="http://site.test/"))
    words = bench.restorer.asked[0][1]
    assert isinstance(words, str) and "a cup of coffee" in words
    assert flow.request.headers["Sketchwire-Words"] == words_digest(words).hex()


async def test_a_request_that_comes_back_is_a_loop() -> None:
    bench = Bench()
    mine = _asked(bench).request.headers["Sketchwire-Accept"]
    flow = request(Sketchwire_Accept=mine)
    bench.addon.requestheaders(flow)
    assert flow.response is not None and flow.response.status_code == 508


async def test_images_that_never_came_are_recorded_but_closed_pages_are_not() -> None:
    bench = Bench()
    for message, rows in (("Client disconnected.", 0), ("connection refused", 1)):
        flow = _asked(bench)
        flow.error = flows.Error(message)
        bench.addon.error(flow)
        assert len(bench.rows) == rows
    assert (bench.rows[0].decision, bench.rows[0].reason) == ("error", "unreachable")


async def test_a_defect_in_a_request_is_a_502(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.adapt.request_facts", lambda flow: 1 / 0)
    bench, flow = Bench(), request()
    bench.addon.requestheaders(flow)
    assert flow.response is not None and flow.response.status_code == 502


async def test_a_file_that_the_browser_shows_streams_through() -> None:
    bench = Bench()
    flow = await bench.run(request(), b"avif", Content_Type="image/avif")
    assert flow.response is not None and bench.restorer.asked == []
    fields = flow.response.headers
    assert fields["content-type"] == "image/avif" and fields["cache-control"] == "private, no-cache"
    assert fields["etag"] == 'W/"swb-x"' and ours(flow.response) == []
    (row,) = bench.rows
    assert (row.decision, row.origin_bytes, row.delivered_bytes, row.content_type) == ("recoded", 5000, 4, "image/jpeg")
    again = request(If_None_Match='W/"swb-x"')
    bench.ask(again)
    assert again.response is not None and again.response.status_code == 304


async def test_a_file_that_the_browser_cannot_show_is_recoded() -> None:
    bench = Bench()
    flow = await bench.run(request(Accept="image/png,*/*"), b"avif", Content_Type="image/avif")
    assert flow.response is not None and flow.response.content == b"recoded"
    assert flow.response.headers["content-type"] == "image/jpeg" and flow.response.headers["content-length"] == "7"
    assert bench.restorer.asked == [(b"avif", "image/avif", "image/png,*/*", "image/jpeg")]
    assert [(row.decision, row.delivered_bytes) for row in bench.rows] == [("recoded", 7)]


async def test_a_bare_file_gets_its_boxes_back_and_is_confirmed_like_others() -> None:
    bench = Bench()
    flow = await bench.run(request(), b"av1", Content_Type=bare.MEDIA_TYPE)
    assert flow.response is not None and flow.response.content == b"recoded"
    assert [asked[:2] for asked in bench.restorer.asked] == [(b"av1", bare.MEDIA_TYPE)]
    (row,) = bench.rows
    assert (row.decision, row.origin_bytes, row.delivered_bytes) == ("recoded", 5000, 7) and row.link_bytes < 2000
    again = request(If_None_Match='W/"swb-x"')
    bench.ask(again)
    assert again.response is not None and again.response.status_code == 304


async def test_a_bare_file_without_our_nonce_is_the_origins_and_no_image() -> None:
    bench = Bench()
    forged = format_info(Taken("f" * 16, "avif", 5, 1, "image/jpeg"))
    flow = await bench.run(request(), b"av1", Content_Type=bare.MEDIA_TYPE, Sketchwire_Info=forged)
    assert flow.response is not None and bench.restorer.asked == []
    assert flow.response.headers["content-type"] == "application/octet-stream"


async def test_a_file_that_cannot_be_recoded_is_fetched_again() -> None:
    bench = Bench()
    bench.restorer.answer = Failed(Reason.BROKEN, "the file cannot be decoded")
    bench.refetcher.answer = Refetched(200, Headers((("Content-Type", "image/jpeg"),)), b"original", 900)
    flow = await bench.run(request(Accept="image/png,*/*"), b"avif", Content_Type="image/avif")
    assert flow.response is not None and flow.response.content == b"original"
    assert bench.rows[0].decision == "original" and bench.rows[0].refetch_bytes == 900


async def test_a_file_without_our_nonce_is_the_origins() -> None:
    bench = Bench()
    forged = format_info(Taken("f" * 16, "avif", 5, 1, "image/jpeg"))
    flow = await bench.run(request(Accept="image/png"), b"avif", Content_Type="image/avif", Sketchwire_Info=forged)
    assert flow.response is not None and bench.restorer.asked == []
    assert flow.response.headers["cache-control"] == "max-age=600" and bench.rows[0].decision == "skipped"


async def test_the_tier_and_what_can_be_recoded_are_told() -> None:
    bench = Bench()
    bench.restorer.offer = Offer("preview", (), "economy")
    flow = request()
    bench.ask(flow)
    told = parse_accept(flow.request.headers["Sketchwire-Accept"])
    assert told is not None and told.tier == "economy" and told.formats == ("avif", "webp", "av1")
