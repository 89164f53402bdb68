"""The pure parts: order, accounts, heads, known bodies, lists, codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.link import codes, dropped, heads, repeats
from proxy.link.bodies import Bodies, digest
from proxy.link.events import Answered, Came, Cut, Drained, Ended, Opened
from proxy.link.frames import PREFACE, FrameTally
from proxy.link.heads import Ask, BadHead
from proxy.link.keys import fingerprint_of
from proxy.link.meter import Meter
from proxy.link.peers import Peers, PeersUnreadable
from proxy.link.schedule import FAIR_TURN, Rank, Schedule
from proxy.link.session import LinkBroken, Patience, Session

ROOT = Path(__file__).parents[3]
GET = Ask(b"GET", b"https", b"example.org", b"/", ())


def test_urgent_streams_go_first_pictures_in_order_and_nobody_starves() -> None:
    schedule = Schedule()
    for stream_id, rank in ((1, Rank(5)), (3, Rank(5)), (5, Rank(0, shared=True)), (7, Rank(0, shared=True))):
        schedule.add(stream_id, rank)
    turns = [schedule.next(lambda stream_id: True) for _ in range(FAIR_TURN)]
    assert set(turns[:-1]) == {5, 7} and turns[:-1].count(5) in (3, 4) and turns[-1] == 1
    schedule.remove(5), schedule.remove(7)
    assert [schedule.next(lambda stream_id: True) for _ in range(3)] == [1, 1, 1]
    assert schedule.next(lambda stream_id: stream_id == 3) == 3
    assert schedule.next(lambda stream_id: False) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 300)), max_size=20), st.integers(1, 50))
def test_frames_are_attributed_whatever_the_pieces(frames: list[tuple[int, int]], step: int) -> None:
    data, wanted = bytearray(PREFACE), {0: len(PREFACE)}
    for stream, size in frames:
        data += size.to_bytes(3, "big") + b"\0\0" + stream.to_bytes(4, "big") + bytes(size)
        wanted[stream] = wanted.get(stream, 0) + 9 + size
    tally, counts = FrameTally(preface=True), dict[int, int]()
    for at in range(0, len(data), step):
        for stream, count in tally.feed(bytes(data[at : at + step])).items():
            counts[stream] = counts.get(stream, 0) + count
    assert counts == wanted


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5000), st.dictionaries(st.integers(0, 5), st.integers(1, 999))))
)
def test_accounts_add_up_to_the_socket(batches: list[tuple[bool, int, dict[int, int]]]) -> None:
    meter, up, down = Meter(sends_up=True), 0, 0
    meter.open(1, "page"), meter.open(3, "image")
    for sends, extra, by_stream in batches:
        raw = sum(by_stream.values()) + extra
        if sends:
            meter.sent(raw, by_stream)
            up += raw
        else:
            meter.received(raw, by_stream)
            down += raw
        meter.keep_only({3})
    totals = meter.totals().values()
    assert (sum(each.up_bytes for each in totals), sum(each.down_bytes for each in totals)) == (up, down)


def connected() -> tuple[Session, Session]:
    near, far = Session(True, 0.0), Session(False, 0.0)
    for _ in range(2):
        far.receive(near.take(10**6), 0.0)
        near.receive(far.take(10**6), 0.0)
    return near, far


def test_a_stream_waits_for_its_window_and_the_connection_does_not() -> None:
    near, far = connected()
    slow, quick = (near.request(GET.fields(), Rank(), ended=True) for _ in range(2))
    far.receive(near.take(10**6), 0.0)
    for stream in (slow, quick):
        far.answer(stream, [(b":status", b"200")], ended=False)
    assert not far.send(slow, bytes(3_000_000))
    near.receive(far.take(10**8), 0.0)
    waiting = sum(len(each.data) for each in near.events() if isinstance(each, Came))
    assert waiting == 1024 * 1024
    far.send(quick, b"x", ended=True)
    near.receive(far.take(10**8), 0.0)
    assert Ended(quick) in list(near.events())
    got = waiting
    while got < 3_000_000:
        near.consumed(slow, waiting)
        far.receive(near.take(10**6), 0.0)
        near.receive(far.take(10**8), 0.0)
        waiting = sum(len(each.data) for each in near.events() if isinstance(each, Came))
        assert waiting
        got += waiting
    assert got == 3_000_000 and Drained(slow) in list(far.events())


def test_urgent_bytes_overtake() -> None:
    near, far = connected()
    picture = near.request(GET.fields(), Rank(5), ended=True)
    page = near.request(GET.fields(), Rank(0), ended=True)
    far.receive(near.take(10**6), 0.0)
    for stream, rank in ((picture, Rank(5)), (page, Rank(0, shared=True))):
        far.answer(stream, [(b":status", b"200")], ended=False)
        far.prefer(stream, rank)
        far.send(stream, bytes(100_000), ended=True)
    order: list[int] = []
    for _ in range(30):
        near.receive(far.take(16_000), 0.0)
        order += [each.stream_id for each in near.events() if isinstance(each, Came)]
    assert order.count(page) == 7 and order[:6].count(page) == 6


def test_what_is_encrypted_together_ends_with_a_body() -> None:
    """Else a picture that is complete would wait at the near end for the record that has its last bytes."""
    near, far = connected()
    streams = [near.request(GET.fields(), Rank(5), ended=True) for _ in range(3)]
    far.receive(near.take(10**6), 0.0)
    for stream in streams:
        far.answer(stream, [(b":status", b"200")], ended=False)
        far.send(stream, bytes(3_000), ended=True)
    for stream in streams:
        near.receive(far.take(10**6), 0.0)
        assert [event.stream_id for event in near.events() if isinstance(event, Ended)] == [stream]
    assert far.take(10**6) == b""


def test_small_bodies_are_encrypted_together() -> None:
    near, far = connected()
    streams = [near.request(GET.fields(), Rank(5), ended=True) for _ in range(3)]
    far.receive(near.take(10**6), 0.0)
    for stream in streams:
        far.answer(stream, [(b":status", b"200")], ended=False)
        far.send(stream, bytes(300), ended=True)
    near.receive(far.take(10**6), 0.0)
    assert len([event for event in near.events() if isinstance(event, Ended)]) == 3


def test_cancellation_and_goodbye() -> None:
    near, far = connected()
    first, second = (near.request(GET.fields(), Rank(), ended=True) for _ in range(2))
    far.receive(near.take(10**6), 0.0)
    assert [type(each) for each in far.events()] == [Opened, Ended, Opened, Ended]
    near.reset(first)
    far.receive(near.take(10**6), 0.0)
    assert [each.stream_id for each in far.events() if isinstance(each, Cut)] == [first]
    far.leave()
    near.receive(far.take(10**6), 0.0)
    assert near.is_leaving and not near.can_request and near.open_streams == 1
    assert second


def test_silence_is_asked_about_once_and_then_ends_the_connection() -> None:
    patience = Patience(idle_s=40, waiting_s=5, pong_s=10, rested_s=100)
    near = Session(True, 0.0, patience)
    far = Session(False, 0.0, patience)
    far.receive(near.take(10**6), 0.0)
    near.receive(far.take(10**6), 0.0)
    assert near.tick(39.0) and not near.take(10**6)[9:]
    assert near.tick(40.0)
    far.receive(near.take(10**6), 40.0)
    near.receive(far.take(10**6), 41.0)
    assert near.tick(80.0) and not near.take(10**6), "answered"
    assert near.tick(82.0) and near.tick(91.0) and not near.tick(92.5)
    rested = Session(True, 0.0, patience)
    rested.take(10**6)
    assert rested.tick(500.0) and not rested.take(10**6), "nobody uses it"


def test_garbage_ends_a_session() -> None:
    near, far = connected()
    with pytest.raises(LinkBroken):
        far.receive(b"\0\0\x01\x04\0\0\0\0\0\xff", 0.0)
    assert near.open_streams == 0


def test_answers_reach_only_streams_that_are_there() -> None:
    near, far = connected()
    far.answer(9, [(b":status", b"200")], ended=True)
    assert far.send(9, b"x", ended=True) and not far.take(10**6)
    stream = near.request(GET.fields(), Rank(), ended=True)
    far.receive(near.take(10**6), 0.0)
    far.answer(stream, [(b":status", b"404")], ended=True)
    near.receive(far.take(10**6), 0.0)
    assert [type(each) for each in near.events()] == [Answered, Ended] and near.open_streams == far.open_streams == 0


@pytest.mark.parametrize(
    ("target", "fields", "url", "host"),
    [
        (b"http://example.org/a", [(b"Host", b"example.org")], b"http://example.org/a", b"example.org"),
        (b"HTTPS://example.org:443?q", [(b"Host", b"example.org")], b"https://example.org/?q", b"example.org"),
        (b"/x", [(b"Host", b"a.b:81")], b"http://a.b:81/x", b"a.b:81"),
        (
            b"/x",
            [(b"Host", b"front.test"), (b"Sketchwire-Link-To", b"https://[::1]:8443;c=0f")],
            b"https://[::1]:8443/x",
            b"front.test",
        ),
    ],
)
def test_targets(target: bytes, fields: list[tuple[bytes, bytes]], url: bytes, host: bytes) -> None:
    ask = heads.ask_from_http1(b"GET", target, fields)
    again = heads.ask_from_fields(ask.fields())
    absolute, pairs = heads.http1_request(again)
    assert absolute == ask.url == url and dict(pairs)[b"Host"] == host
    assert ask.client == ("0f" if b"c=" in dict(fields).get(b"Sketchwire-Link-To", b"") else "")


@pytest.mark.parametrize("target", [b"/", b"http://", b"http://a b/", b"http://u@h/", b"gopher://a/", b"http://a/\x7f"])
def test_targets_that_name_no_site(target: bytes) -> None:
    with pytest.raises(BadHead):
        heads.ask_from_http1(b"GET", target, [])


def test_hop_by_hop_fields_stay_and_cookies_become_one() -> None:
    came = [
        (b"Host", b"a.test"),
        (b"Connection", b"close, X-Hop"),
        (b"X-Hop", b"1"),
        (b"TE", b"trailers"),
        (b"~h", b"x"),
    ]
    ask = heads.ask_from_http1(b"GET", b"/", [*came, (b"Cookie", b"a=1"), (b"cookie", b"b=2")])
    assert ask.headers == ((b"cookie", b"a=1"), (b"cookie", b"b=2"))
    assert heads.http1_request(ask)[1] == [(b"Host", b"a.test"), (b"Cookie", b"a=1; b=2")]


def test_what_matters_to_browsers_is_never_dropped() -> None:
    kept = (
        "access-control-allow-origin",
        "access-control-expose-headers",
        "cache-control",
        "content-security-policy",
        "content-type",
        "content-encoding",
        "content-length",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
        "date",
        "etag",
        "expires",
        "last-modified",
        "link",
        "location",
        "permissions-policy",
        "referrer-policy",
        "retry-after",
        "set-cookie",
        "sourcemap",
        "strict-transport-security",
        "timing-allow-origin",
        "server-timing",
        "vary",
        "www-authenticate",
        "x-content-type-options",
        "x-frame-options",
        "x-robots-tag",
        "x-xss-protection",
        "accept-ranges",
        "age",
        "clear-site-data",
        "content-disposition",
        "content-language",
        "critical-ch",
        "accept-ch",
        "origin-agent-cluster",
        "refresh",
        "service-worker-allowed",
        "sourcemap",
        "speculation-rules",
        "x-dns-prefetch-control",
        "x-ua-compatible",
        "reporting-endpoints",
    )
    fields = [(name.encode(), b"1") for name in kept]
    assert heads.answer_fields(200, fields, for_script=False)[1:] == fields
    told = heads.answer_fields(200, [(b"Server", b"x"), (b"X-Request-Id", b"1")], for_script=True)
    assert told == [(b":status", b"200"), (b"x-request-id", b"1")]
    assert heads.answer_fields(200, [(b"Server", b"x"), (b"X-Request-Id", b"1")], for_script=False) == told[:1]


def test_the_lists_are_in_the_documentation() -> None:
    page = (ROOT / "docs" / "link.md").read_text(encoding="utf-8")
    part = page.partition("## Fields that stay behind")[2].partition("Caching, cookies")[0]
    always, _, scripts = part.partition("And unless a script")
    assert set(re.findall(r"`([a-z0-9-]+)`", always)) == dropped.ALWAYS
    assert set(re.findall(r"`([a-z0-9-]+)`", scripts.partition("):")[2])) == dropped.UNLESS_READ_BY_SCRIPTS


@pytest.mark.parametrize(
    ("fields", "urgency", "shared"),
    [
        ([(b"sec-fetch-dest", b"document")], 0, True),
        ([(b"sec-fetch-dest", b"image")], 5, False),
        ([(b"sec-fetch-dest", b"image"), (b"priority", b"u=1, i")], 1, False),
        ([(b"accept", b"text/html,*/*")], 0, True),
        ([(b"accept", b"image/avif,*/*")], 5, False),
        ([(b"accept", b"*/*")], 3, True),
        ([(b"priority", b"u=9")], 3, True),
    ],
)
def test_ranks(fields: list[tuple[bytes, bytes]], urgency: int, shared: bool) -> None:
    assert heads.rank(Ask(b"GET", b"http", b"a", b"/", tuple(fields))) == Rank(urgency, shared)


def test_known_bodies_stay_with_their_client_unless_public() -> None:
    bodies, body = Bodies(10_000), b"x" * 5_000
    bodies.put(b"https://a/", b"", "alice", body)
    assert bodies.find(b"https://a/", b"", "alice") and not bodies.find(b"https://a/", b"", "bob")
    assert not bodies.find(b"https://a/", b"", "") and not bodies.find(b"https://a/", b"gzip", "alice")
    bodies.put(b"https://b/", b"", "", body)
    assert bodies.held_bytes == 5_000 and bodies.find(b"https://b/", b"", "bob")
    bodies.put(b"https://c/", b"", "", b"y" * 6_000)
    assert bodies.held_bytes == 6_000 and not bodies.find(b"https://b/", b"", "bob")
    bodies.put(b"https://d/", b"", "", b"small")
    assert bodies.held_bytes == 6_000


@pytest.mark.parametrize(
    ("request_fields", "answer", "keeps", "public"),
    [
        ([], [], True, True),
        ([(b"cookie", b"a")], [], True, False),
        ([(b"authorization", b"a")], [], True, False),
        ([], [(b"set-cookie", b"a")], True, False),
        ([], [(b"cache-control", b"private, max-age=5")], True, False),
        ([], [(b"vary", b"Cookie")], True, False),
        ([], [(b"vary", b"*")], True, False),
        ([], [(b"cache-control", b"no-store")], False, True),
        ([(b"range", b"bytes=0-1")], [], False, True),
        ([(b"if-none-match", b"x")], [], False, True),
        ([], [(b"content-type", b"text/event-stream")], False, True),
        ([], [(b"content-length", b"99999999")], False, True),
    ],
)
def test_what_is_remembered(
    request_fields: list[tuple[bytes, bytes]], answer: list[tuple[bytes, bytes]], keeps: bool, public: bool
) -> None:
    ask = Ask(b"GET", b"https", b"a", b"/", tuple(request_fields))
    assert repeats.keeps(ask, 200, answer) == keeps and repeats.is_public(ask, answer) == public
    assert not repeats.keeps(ask, 404, answer)


def test_holding_lets_go_of_what_is_longer() -> None:
    field, value = repeats.offer(digest(b"abc"), 3)
    offered = repeats.parse_offer(value)
    assert field == repeats.HAVE and offered == (digest(b"abc"), 3)
    assert offered is not None
    same, other, longer = (repeats.Holding(*offered) for _ in range(3))
    assert same.feed(b"ab") is None and same.feed(b"c") is None and same.is_same()
    assert other.feed(b"abd") is None and not other.is_same() and other.release() == b"abd"
    assert longer.feed(b"ab") is None and longer.feed(b"cd") == b"abcd"


def test_codes(tmp_path: Path) -> None:
    code = codes.make(tmp_path, "x", 60)
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", code)
    assert codes.derive(code) == codes.derive(code.lower().replace("0", "o").replace("1", "l"))
    (pending,) = codes.pending(tmp_path)
    assert codes.spend(tmp_path, pending) and not codes.spend(tmp_path, pending)
    codes.make(tmp_path, "x", 60)
    for _ in range(codes.MAX_TRIES):
        assert codes.pending(tmp_path)
        codes.missed(tmp_path)
    assert not codes.pending(tmp_path)
    codes.make(tmp_path, "x", -1)
    assert not codes.pending(tmp_path)


def test_a_damaged_list_of_peers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "peers.json").write_text("[{}]")
    with pytest.raises(PeersUnreadable):
        Peers(tmp_path).all()


@pytest.mark.parametrize("pem", ["", "ä", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_a_value_error(pem: str) -> None:
    with pytest.raises(ValueError, match="not a certificate"):
        fingerprint_of(pem)
