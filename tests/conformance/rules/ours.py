"""What only a pair like ours has: fields and bundles of its own, circles, TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable

import httpx

from proxy.bundle import MEDIA_TYPE
from tests.conformance.origin import chunked, raw
from tests.conformance.rule import JPEG, PHOTO, rewritten, rule, shown, untouched
from tests.conformance.stand import ANY, IMAGE, Got, Stand

ACCEPT = "v=1;engine=sketch;nonce=00112233445566aa"


def our_fields(fields: Iterable[tuple[str, str]]) -> list[str]:
    return [name for name, _ in fields if name.lower().startswith("sketchwire-")]


@rule("forged-request", "A browser's own Sketchwire-* fields reach no origin", "DESIGN 4", ours=True)
async def forged_request(stand: Stand) -> None:
    asked = (("Sketchwire-Accept", ACCEPT), ("Sketchwire-Evil", "1"), ("sketchwire-words", "x"))
    got = await stand.ask(raw(200, JPEG, PHOTO), asked)
    shown(got)
    assert our_fields(got.asked.fields) == []


@rule("forged-straight", "Nor do they through upstream alone", "DESIGN 4", ours=True)
async def forged_straight(stand: Stand) -> None:
    asked = (("Sketchwire-Accept", ACCEPT), ("Sketchwire-Evil", "1"))
    got = await stand.ask(raw(200, JPEG, PHOTO), asked, port=stand.upstream_port)
    assert got.answer.status == 200 and our_fields(got.asked.fields) == []


@rule("forged-answer", "An origin's Sketchwire-* fields reach no browser", "DESIGN 4", ours=True)
async def forged_answer(stand: Stand) -> None:
    forged = (("Sketchwire-Info", "n=0;d=take;m=edges;o=9"), ("Sketchwire-Evil", "1"))
    for body, fields in ((PHOTO, JPEG), (b"<p>page", (("Content-Type", "text/html"),))):
        got = await stand.ask(raw(200, (*fields, *forged), body))
        assert set(our_fields(got.answer.fields)) <= {"Sketchwire-Provenance"}


@rule("forged-provenance", "An origin cannot give its picture a false history", "DESIGN 4", ours=True)
async def forged_provenance(stand: Stand) -> None:
    fields = (*JPEG, ("Sketchwire-Provenance", "source=forged"), ("Cache-Control", "no-transform"))
    got = await stand.ask(raw(200, fields, PHOTO))
    assert got.answer.body == PHOTO and our_fields(got.answer.fields) == []


@rule("forged-bundle", "What an origin calls a bundle is handed over as a file of no type", "DESIGN 4", ours=True)
async def forged_bundle(stand: Stand) -> None:
    body = b"SWB" + bytes(900)
    got = await stand.ask(raw(200, (("Content-Type", MEDIA_TYPE),), body))
    assert got.answer.body == body and got.answer.type == "application/octet-stream"


@rule("forged-connection", "Connection cannot strip the fields that the proxies exchange", "RFC 9110 7.6.1", ours=True)
async def stripped(stand: Stand) -> None:
    rewritten(await stand.ask(raw(200, JPEG, PHOTO), (("Connection", "Sketchwire-Accept, Via, CDN-Loop"),)))


@rule("asked-not", "Who does not ask for bundles gets the origin's bytes", "DESIGN 4", ours=True)
async def not_asked(stand: Stand) -> None:
    got = await stand.ask(raw(200, (*JPEG, ("ETag", '"a"')), PHOTO), port=stand.upstream_port)
    untouched(got, 200, (*JPEG, ("ETag", '"a"')), PHOTO)


@rule("asked-garbled", "Who asks in a way that makes no sense gets them, too", "DESIGN 4", ours=True)
async def garbled(stand: Stand) -> None:
    got = await stand.ask(raw(200, JPEG, PHOTO), (("Sketchwire-Accept", "v=9;;nonce=1"),), port=stand.upstream_port)
    untouched(got, 200, JPEG, PHOTO)


@rule("asked-bundle", "A bundle names the request's own nonce, and what it depends on", "DESIGN 4", ours=True)
async def bundle(stand: Stand) -> None:
    got = await stand.ask(raw(200, JPEG, PHOTO), (("Sketchwire-Accept", ACCEPT),), port=stand.upstream_port)
    assert got.answer.type == MEDIA_TYPE and "n=00112233445566aa" in (got.answer.get("sketchwire-info") or "")
    assert "sketchwire-accept" in got.answer.list("vary")


@rule("asked-original", "Who asks for the original by the field for scripts gets it", "DESIGN", ours=True)
async def original(stand: Stand) -> None:
    path = stand.place(raw(200, (*JPEG, ("ETag", '"a"')), PHOTO))
    rewritten(await stand.ask(path=path))
    got = await stand.ask(path=path, fields=(("Sketchwire-Original", "1"),))
    assert got.answer.body == PHOTO and got.answer.get("etag") == '"a"' and not got.seen, "from the spool"


@rule("circle-own", "A request that has passed here before is ended with 508", "RFC 8586 2; RFC 9110 7.6.3", ours=True)
async def circle(stand: Stand) -> None:
    first = await stand.ask(raw(200, JPEG, PHOTO))
    mark = first.asked.get("cdn-loop") or ""
    assert mark
    for field in (("CDN-Loop", mark), ("CDN-Loop", f"other, {mark}"), ("Via", f"1.1 {mark}")):
        assert (await stand.ask(raw(200, JPEG, PHOTO), (field,))).answer.status == 508


@rule("circle-other", "Marks of other proxies pass, and ours is added", "RFC 8586 2")
async def circle_other(stand: Stand) -> None:
    got = await stand.ask(raw(200, JPEG, PHOTO), (("CDN-Loop", "other"), ("Via", "1.1 other")))
    shown(got)
    marks = [item for field in ("cdn-loop", "via") for value in got.asked.all(field) for item in value.split(",")]
    assert len(marks) >= 3, "both, and one more"


async def secure(stand: Stand, reply: bytes, accept: str = IMAGE) -> Got:
    path = stand.place(reply)
    async with await stand.tunnel() as wire:
        host = f"{stand.host}:{stand.origin.https_port}"
        await wire.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n".encode())
        return Got(await wire.answer(), stand.origin.seen[path], path)


@rule("tls-image", "Over https a photograph is rewritten like any other", "FACTS", ours=True)
async def tls_image(stand: Stand) -> None:
    rewritten(await secure(stand, raw(200, JPEG, PHOTO)))


@rule("tls-untouched", "Over https, no-transform passes byte for byte", "RFC 9111 5.2.2.6", ours=True)
async def tls_untouched(stand: Stand) -> None:
    fields = (*JPEG, ("Cache-Control", "no-transform"))
    got = await secure(stand, raw(200, fields, PHOTO))
    assert got.answer.body == PHOTO and got.answer.get("cache-control") == "no-transform"


@rule("tls-trailers", "Over https, trailers and interim answers harm nothing", "RFC 9110 6.5.1, 15.2", ours=True)
async def tls_trailers(stand: Stand) -> None:
    page = chunked((("Content-Type", "text/html"),), b"words " * 999, trailers=(("X-Sum", "1"),))
    got = await secure(stand, b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + page, ANY)
    assert got.answer.status == 200 and got.answer.body == b"words " * 999


class _Http2First(ssl.SSLContext):
    """Prefers HTTP/2 as browsers do; httpx names it last."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        super().set_alpn_protocols(sorted(alpn_protocols))


@rule("tls-http-2", "A browser of HTTP/2 asks for many things at once and gets them", "RFC 9113", ours=True)
async def http2(stand: Stand) -> None:
    trust = _Http2First(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(stand.processes[1].ca)
    paths = [stand.place(raw(200, JPEG, PHOTO) if n % 2 else raw(200, (), b"%d" % n)) for n in range(12)]
    base = f"https://{stand.host}:{stand.origin.https_port}"
    async with httpx.AsyncClient(
        http2=True, timeout=40, proxy=f"http://127.0.0.1:{stand.port}", verify=trust
    ) as client:
        answers = await asyncio.gather(*(client.get(base + path, headers={"Accept": IMAGE}) for path in paths))
    assert {(answer.status_code, answer.http_version) for answer in answers} == {(200, "HTTP/2")}
    assert all(answer.content == (b"%d" % n) for n, answer in enumerate(answers) if n % 2 == 0)
    assert all(answer.headers["content-type"].startswith("image/") for answer in answers[1::2])


@rule("tls-wrong-name", "An origin whose certificate is for another name is not shown", "RFC 9110 4.3.4", ours=True)
async def wrong_name(stand: Stand) -> None:
    async with await stand.open(stand.upstream_port) as wire:
        target = f"https://127.0.0.1:{stand.origin.https_port}/"
        await wire.send(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert (await wire.answer()).status in (403, 502)
