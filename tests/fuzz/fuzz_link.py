"""Feeds the link's parsers with mutated, cut and random bytes: anything but their own refusals is a finding.

`python tests/fuzz/fuzz_link.py [COUNT] [SEED] [TARGET]` prints how many inputs each target took and refused; with
TARGET all of them go to one. The targets are the HTTP/2 session of both ends (with `FrameTally` and `Meter` beside it),
the heads of both sides, the digest field, the decoders of text, the pairing messages, the peers' file and what a
browser's request may do to the session of the far end.
"""

import contextlib
import gzip
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import brotli
import h11
import zstandard

from proxy.link import codes, heads, keys, repeats
from proxy.link.coding import BadCoding
from proxy.link.events import Answered, Came, Ended, Opened
from proxy.link.frames import FrameTally
from proxy.link.heads import BadHead
from proxy.link.meter import Meter
from proxy.link.pairing import Asking, Guest, PairingFailed
from proxy.link.peers import FILE, Peers, PeersUnreadable
from proxy.link.recoding import FarText, NearText
from proxy.link.schedule import Rank
from proxy.link.session import LinkBroken, Session
from proxy.link.text import Recode, Restored

Target = Callable[[random.Random], bool]
FIELDS = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"example.org"),
    (b":path", b"/a?b=c"),
    (b"accept", b"text/html"),
    (b"cookie", b"a=b; c=d"),
    (b"~h", b"AAAAAAAAAAAAAAAAAAAAAA.5000"),
]
REQUEST = (
    b"GET http://example.org/x?y HTTP/1.1\r\nHost: example.org\r\nSketchwire-Link-To: https://example.org:443;c=0a\r\n"
    b"Cookie: a=b\r\nAccept: */*\r\nConnection: keep-alive, X-One\r\nX-One: 1\r\nContent-Length: 3\r\n\r\nabc"
)


class Pair:
    """Two ends that stay connected for a while, as they do in use: whatever came before must not hurt what follows."""

    def __init__(self) -> None:
        self._uses = 0
        self._near, self._far = Session(True, 0.0), Session(False, 0.0)

    def ends(self) -> tuple[Session, Session]:
        """Near end and far end."""
        self._uses += 1
        if self._uses % 200 == 0:
            self._near, self._far = Session(True, 0.0), Session(False, 0.0)
        self._near.receive(self._far.take(10**6), 0.0)
        self._far.receive(self._near.take(10**6), 0.0)
        for session in (self._near, self._far):
            for _ in session.events():
                pass
        return self._near, self._far


PAIR = Pair()
TEXT = b"<html><head><title>A page</title></head><body>" + b"<p>some words of a page</p>" * 30
GZIP, ZSTD, BROTLI = gzip.compress(TEXT), zstandard.ZstdCompressor().compress(TEXT), brotli.compress(TEXT)


def mutate(data: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, removed, repeated, inserted, or the end cut off."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at, kind = chance.randrange(len(out) + 1), chance.randrange(7)
        if kind == 0 and out:
            out[at % len(out)] = chance.randrange(256)
        elif kind == 1 and out:
            out[at % len(out)] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del out[at : at + chance.randint(1, 9)]
        elif kind == 3:
            out[at:at] = out[at : at + chance.randint(1, 40)]
        elif kind == 4:
            out[at:at] = chance.choice((b"\r\n", b"\0", b":", b"\xff\xff", b"\x80", b"//", b" ", b"%0d%0a"))
        elif kind == 5:
            out[at:at] = chance.randbytes(chance.randint(1, 12))
        else:
            del out[at:]
    return bytes(out)


def recorded() -> tuple[bytes, bytes]:
    """What a near end and a far end send each other in two short exchanges."""
    near, far = Session(True, 0.0), Session(False, 0.0)
    up, down = bytearray(near.take(10**6)), bytearray(far.take(10**6))
    far.receive(bytes(up), 0.0)
    near.receive(bytes(down), 0.0)
    for n in range(2):
        stream = near.request([*FIELDS[:3], (b":path", b"/%d" % n), *FIELDS[4:]], Rank(), ended=False)
        near.send(stream, b"x" * 300, ended=True)
        piece = near.take(10**6)
        up += piece
        far.receive(piece, 0.0)
        far.answer(stream, [(b":status", b"200"), (b"content-type", b"text/css")], ended=False)
        far.send(stream, b"body " * 100, ended=True)
        piece = far.take(10**6)
        down += piece
        near.receive(piece, 0.0)
    return bytes(up), bytes(down)


def sessions(up: bytes, down: bytes) -> Target:
    """Both ends take whatever comes, in pieces, and answer what they understood."""

    def run(chance: random.Random) -> bool:
        client = chance.random() < 0.5
        session, tally, meter = Session(client, 0.0), FrameTally(preface=not client), Meter(sends_up=client)
        if client:
            for _ in range(2):
                session.request(FIELDS, Rank(), ended=chance.random() < 0.5)
        session.take(10**6)
        data = mutate(down if client else up, chance)
        at, raw = 0, 0
        try:
            while at < len(data):
                piece = data[at : at + chance.choice((1, 9, 100, 5000))]
                at += len(piece)
                raw += len(piece)
                meter.received(len(piece), tally.feed(piece))
                session.receive(piece, 0.0)
                for event in session.events():
                    match event:
                        case Opened():
                            with contextlib.suppress(BadHead):
                                heads.ask_from_fields(event.fields)
                            session.answer(event.stream_id, [(b":status", b"200")], ended=False)
                            session.send(event.stream_id, b"y" * 100, ended=chance.random() < 0.5)
                        case Answered():
                            with contextlib.suppress(BadHead):
                                heads.answer_from_fields(event.fields)
                        case Came():
                            session.consumed(event.stream_id, len(event.data))
                        case Ended():
                            session.reset(event.stream_id)
                        case _:
                            pass
                session.take(10_000)
        except LinkBroken:
            session.take(10_000)
            return False
        finally:
            assert sum(each.up_bytes + each.down_bytes for each in meter.totals().values()) == raw
        return True

    return run


def requests(chance: random.Random) -> bool:
    """A browser's request, however odd, either is refused on loopback or reaches the far end; the link survives."""
    http = h11.Connection(h11.SERVER)
    try:
        http.receive_data(mutate(REQUEST, chance))
        event = http.next_event()
        if not isinstance(event, h11.Request):
            return False
        ask = heads.ask_from_http1(event.method, event.target, list(event.headers.raw_items()))
    except (h11.RemoteProtocolError, BadHead):
        return False
    near, far = PAIR.ends()
    stream = near.request(ask.fields(), heads.rank(ask), ended=True)
    far.receive(near.take(10**6), 0.0)
    opened = next(each for each in far.events() if isinstance(each, Opened))
    near.reset(stream)
    again = heads.ask_from_fields(opened.fields)
    assert (again.url, again.method) == (ask.url, ask.method)
    target, pairs = heads.http1_request(again)
    with contextlib.suppress(h11.LocalProtocolError):  # then the far end resets this one stream
        h11.Connection(h11.CLIENT).send(h11.Request(method=again.method, target=target, headers=pairs))
    assert heads.kind(ask, b"text/html") == "page" and heads.for_script(ask) in (True, False)
    return True


def answers(chance: random.Random) -> bool:
    """A site's answer, however odd, is passed on or refused; the link survives."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    http.send(h11.EndOfMessage())
    head = b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: "1"\r\nServer: x\r\nContent-Length: 3\r\n\r\nabc'
    try:
        http.receive_data(mutate(head, chance))
        event = http.next_event()
    except h11.RemoteProtocolError:
        return False
    if not isinstance(event, h11.Response):
        return False
    fields = heads.answer_fields(event.status_code, list(event.headers.raw_items()), chance.random() < 0.5)
    near, far = PAIR.ends()
    stream = near.request(FIELDS, Rank(), ended=True)
    far.receive(near.take(10**6), 0.0)
    far.answer(stream, [pair for pair in fields if pair[0] != b"content-length"], ended=True)
    near.receive(far.take(10**6), 0.0)
    answered = next(each for each in near.events() if isinstance(each, Answered))
    status, headers = heads.answer_from_fields(answered.fields)
    repeats.keeps(heads.ask_from_fields(FIELDS), status, headers)
    repeats.is_public(heads.ask_from_fields(FIELDS), headers)
    return True


def offers(chance: random.Random) -> bool:
    """The digest field."""
    value = mutate(repeats.offer(chance.randbytes(16), chance.randrange(10**6))[1], chance)
    return repeats.parse_offer(value) is not None


def strangers(folder: Path) -> Target:
    """What somebody without a certificate, or with a paired one, says to the far end."""
    far, near, peers = keys.load_or_make(folder / "far"), keys.load_or_make(folder / "near"), Peers(folder / "far")
    code = "ABCDEFGHJK"
    question = Asking(near, "x", code, keys.der_of(far.pem)).question()
    secret = codes.derive(code).hex()

    def renew() -> None:
        pending = {"name": "", "secret": secret, "expires_s": 1e12, "tries": -(10**9)}  # tries never run out here
        keys.write_private(folder / "far" / codes.FILE, json.dumps([pending]).encode())

    renew()

    def run(chance: random.Random) -> bool:
        data = mutate(question, chance) if chance.random() < 0.8 else odd_json(chance)
        peer = near.fingerprint if chance.random() < 0.5 else ""
        answer = Guest(folder / "far", far, peers, "", peer).receive(data)
        if answer:  # the mutation did not touch what is proved
            renew()
        return bool(answer)

    return run


def welcomes(folder: Path) -> Target:
    """What a wrong far end answers."""
    far, near = keys.load_or_make(folder / "far"), keys.load_or_make(folder / "near")
    asking = Asking(near, "x", "ABCDEFGHJK", keys.der_of(far.pem))

    def run(chance: random.Random) -> bool:
        line = json.dumps({"v": 1, "pem": far.pem, "ca": "", "proof": "0" * 64}).encode()
        try:
            asking.welcome(mutate(line, chance) if chance.random() < 0.8 else odd_json(chance))
        except PairingFailed:
            return False
        raise AssertionError("a wrong proof was taken")

    return run


def peer_files(folder: Path) -> Target:
    """A damaged list of peers is refused, never half believed."""
    near = keys.load_or_make(folder / "near")
    Peers(folder / "list").add("x", near.pem)
    good = (folder / "list" / FILE).read_bytes()

    def run(chance: random.Random) -> bool:
        (folder / "list" / FILE).write_bytes(mutate(good, chance))
        try:
            return bool(Peers(folder / "list").all())
        except PeersUnreadable:
            return False

    return run


def texts(chance: random.Random) -> bool:
    """Damaged coded bodies, from a site or from the link, are refused or decoded; what breaks off is never whole."""
    coding = chance.choice((b"gzip", b"zstd", b"br"))
    site = FarText(Recode(coding, None), chance.random() < 0.5)
    body = {b"gzip": GZIP, b"zstd": ZSTD, b"br": BROTLI}[coding]
    try:
        sent = b"".join(site.send(plain) for plain in site.plain(mutate(body, chance))) + site.finish()
        near = NearText(Restored(site.with_dictionary, True, None))
        near.came(mutate(sent, chance))
        while near.waits:
            near.step()
        near.origin_bytes()
    except BadCoding:
        return False
    return True


def odd_json(chance: random.Random) -> bytes:
    """JSON that is no message."""
    values = [None, 5, [], {}, "x", {"pem": 5}, {"v": 1, "pem": [], "nonce": {}, "proof": None}, [[]] * 3]
    return json.dumps(chance.choice(values)).encode() + b"\n"


def fuzz(count: int, seed: int, folder: Path, only: str = "") -> dict[str, list[int]]:
    """Run `count` inputs, all on the target `only` if one is named; returns how many each took and refused."""
    chance = random.Random(seed)
    targets: list[tuple[str, Target, int]] = [
        ("session", sessions(*recorded()), 8),
        ("requests", requests, 4),
        ("answers", answers, 3),
        ("offers", offers, 4),
        ("texts", texts, 2),
        ("welcomes", welcomes(folder), 2),
        ("peers", peer_files(folder), 1),
        ("strangers", strangers(folder), 1),
    ]
    targets = [each for each in targets if only in ("", each[0])]
    told = {name: [0, 0] for name, _, _ in targets}
    weights = [weight for _, _, weight in targets]
    for name, target, _ in chance.choices(targets, weights, k=count):
        told[name][0 if target(chance) else 1] += 1
    return told


def main() -> None:
    """The command line."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
        told = fuzz(count, seed, Path(folder), sys.argv[3] if len(sys.argv) > 3 else "")
    parts = ", ".join(f"{name} {took} taken {refused} refused" for name, (took, refused) in told.items())
    print(f"{count} inputs: {parts}; no crash; {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
