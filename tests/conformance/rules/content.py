"""Content codings, what was asked for, cookies, credentials, downloads, and what only looks like an image."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from base64 import b64encode

import brotli
import zstandard

from tests.conformance.origin import Fields, Request, raw
from tests.conformance.rule import JPEG, PHOTO, passes, picture, rewritten, rule, saved, shown, untouched
from tests.conformance.stand import ANY, PAGE, Stand

ACCEPTED: Fields = (("Accept-Encoding", "gzip, deflate, br, zstd"),)
_CODED = {
    "gzip": gzip.compress(PHOTO),
    "deflate": zlib.compress(PHOTO),
    "br": brotli.compress(PHOTO, quality=2),
    "zstd": zstandard.compress(PHOTO),
}
for _coding, _source in (("gzip", "RFC 1952"), ("deflate", "RFC 1950"), ("br", "RFC 7932"), ("zstd", "RFC 8878")):

    @rule(f"coding-{_coding}", f"An image sent with Content-Encoding {_coding} is shown, without that field", _source)
    async def coded(stand: Stand, coding: str = _coding) -> None:
        got = await stand.ask(raw(200, (*JPEG, ("Content-Encoding", coding)), _CODED[coding]), ACCEPTED)
        if got.answer.get("content-encoding") is None:
            shown(got)
        else:
            untouched(got, 200, (("Content-Encoding", coding),), _CODED[coding])


for _name, _text, _value, _body in (
    ("unknown", "An unknown content coding passes", "x-new", PHOTO),
    ("stacked", "Two codings on one another pass", "gzip, br", brotli.compress(gzip.compress(PHOTO), quality=2)),
    ("lying", "What says gzip and is none passes", "gzip", PHOTO),
    ("cut", "A coding that is cut short passes", "gzip", _CODED["gzip"][:-900]),
    ("bomb", "A coded body that would grow beyond all bounds passes", "gzip", gzip.compress(PHOTO + bytes(48 << 20))),
):
    passes(
        f"coding-{_name}",
        _text,
        "RFC 9110 8.4; FACTS",
        (*JPEG, ("Content-Encoding", _value)),
        request=ACCEPTED,
        body=_body,
    )
_HTML = b"<!doctype html><title>x</title><p>" + b"words and more words " * 400
for _coding, _body in (("gzip", gzip.compress(_HTML)), ("br", brotli.compress(_HTML, quality=2))):

    @rule(f"coding-text-{_coding}", f"A page in {_coding} is the same page when it is decoded", "RFC 9110 8.4")
    async def text_coded(stand: Stand, coding: str = _coding, body: bytes = _body) -> None:
        fields = (("Content-Type", "text/html; charset=utf-8"), ("Content-Encoding", coding))
        got = await stand.ask(raw(200, fields, body), ACCEPTED, accept=PAGE)
        told = got.answer.get("content-encoding")
        undo = {"gzip": gzip.decompress, "br": brotli.decompress, None: bytes}[told]
        assert undo(got.answer.body) == _HTML and got.answer.type == "text/html"


@rule("coding-asked", "The browser's Accept-Encoding reaches the origin", "RFC 9110 12.5.3")
async def accept_encoding(stand: Stand) -> None:
    got = await stand.ask(raw(200, (("Content-Type", "text/html"),), _HTML), ACCEPTED, accept=PAGE)
    assert got.asked.get("accept-encoding") == "gzip, deflate, br, zstd"


_SEEN_AS: tuple[tuple[str, str, Fields], ...] = (
    ("empty", "What a script asks for (Sec-Fetch-Dest: empty) passes", (("Sec-Fetch-Dest", "empty"),)),
    ("document", "An image opened as a page of its own passes", (("Sec-Fetch-Dest", "document"),)),
    ("script", "What is asked for as a script passes", (("Sec-Fetch-Dest", "script"),)),
    ("video", "What is asked for as a video passes", (("Sec-Fetch-Dest", "video"),)),
    ("object", "What is asked for as an object passes", (("Sec-Fetch-Dest", "object"),)),
    ("worker", "What is asked for as a service worker's script passes", (("Sec-Fetch-Dest", "serviceworker"),)),
    (
        "cors",
        "An image whose pixels scripts may read (Sec-Fetch-Mode: cors) passes",
        (("Sec-Fetch-Dest", "image"), ("Sec-Fetch-Mode", "cors"), ("Origin", "https://a.test")),
    ),
)
for _name, _text, _fields in _SEEN_AS:
    passes(f"fetch-{_name}", _text, "Fetch Metadata 2; FACTS", request=_fields, accept=ANY)
passes(
    "fetch-navigated",
    "Without Fetch Metadata, what is asked for as a page passes, image or not",
    "RFC 9110 12.5.1; FACTS",
    accept=PAGE,
)


@rule("fetch-image", "What is asked for as an image, without CORS, is rewritten", "Fetch Metadata 2; FACTS")
async def fetch_image(stand: Stand) -> None:
    rewritten(await stand.ask(raw(200, JPEG, PHOTO), (("Sec-Fetch-Dest", "image"), ("Sec-Fetch-Mode", "no-cors"))))


@rule("fetch-old-browser", "A browser that names no modern format gets one that it shows", "RFC 9110 12.5.1")
async def old_browser(stand: Stand) -> None:
    got = await stand.ask(raw(200, JPEG, PHOTO), accept="image/png,image/jpeg,image/*;q=0.8,*/*;q=0.5")
    shown(got)
    assert got.answer.type in ("image/jpeg", "image/png")


_SCRIPT = b"self.addEventListener('fetch', () => {})\n" * 60


@rule("same-integrity", "A script with Subresource Integrity has the digest that its page names", "SRI 3.3")
async def integrity(stand: Stand) -> None:
    wanted = b64encode(hashlib.sha384(_SCRIPT).digest())
    fields = (("Content-Type", "text/javascript"), ("Access-Control-Allow-Origin", "*"))
    asked = (("Sec-Fetch-Dest", "script"), ("Sec-Fetch-Mode", "cors"), ("Origin", "https://a.test"))
    got = await stand.ask(raw(200, fields, _SCRIPT), asked, accept=ANY)
    assert b64encode(hashlib.sha384(got.answer.body).digest()) == wanted
    assert got.answer.get("access-control-allow-origin") == "*" and got.asked.get("origin") == "https://a.test"


passes(
    "same-service-worker",
    "A service worker's script passes with its scope",
    "Service Workers 4.4",
    (("Content-Type", "text/javascript"), ("Service-Worker-Allowed", "/")),
    request=(("Service-Worker", "script"), ("Sec-Fetch-Dest", "serviceworker")),
    body=_SCRIPT,
    accept=ANY,
)
for _name, _text, _type, _body in (
    ("page", "A page passes", "text/html; charset=utf-8", _HTML),
    ("style", "A style sheet passes", "text/css", b"body{color:#123}\n" * 99),
    ("json", "JSON passes", "application/json", b'{"a": [1, 2, 3]}' * 99),
    ("wasm", "WebAssembly passes", "application/wasm", b"\0asm\1\0\0\0" + bytes(3000)),
    ("font", "A font passes", "font/woff2", b"wOF2" + bytes(range(256)) * 8),
    ("video", "A video passes", "video/mp4", b"\0\0\0\x18ftypmp42" + bytes(5000)),
    ("audio", "Sound passes", "audio/mpeg", b"ID3\4" + bytes(5000)),
    ("manifest", "A list of segments passes", "application/vnd.apple.mpegurl", b"#EXTM3U\n" * 200),
    (
        "untyped",
        "A file of no particular type passes, also if it looks like an image",
        "application/octet-stream",
        PHOTO,
    ),
    ("no-sniff", "An image that is said to be text passes as text", "text/plain", PHOTO),
):
    _more: Fields = (("X-Content-Type-Options", "nosniff"),) if _name in ("untyped", "no-sniff") else ()
    passes(f"same-{_name}", _text, "RFC 9110 7.7; FACTS", (("Content-Type", _type), *_more), body=_body, accept=ANY)
passes(
    "same-download",
    "A download (Content-Disposition: attachment) passes, also if it is an image",
    "RFC 6266 4.2",
    (*JPEG, ("Content-Disposition", "attachment; filename*=UTF-8''na%C3%AFve.jpg")),
)
passes("same-empty", "An image of no bytes passes", "RFC 9110 8.6", body=b"")
passes(
    "same-tracking-pixel",
    "A tracking pixel passes",
    "FACTS",
    (("Content-Type", "image/gif"), ("Cache-Control", "no-store")),
    body=b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;",
)
passes("same-small", "An image under a kilobyte passes", "FACTS", body=saved(picture(24, 16), "JPEG", quality=60))

passes(
    "cookie-image",
    "An image that sets a cookie passes with it",
    "RFC 6265 3; FACTS",
    (*JPEG, ("Set-Cookie", "a=b; Path=/")),
)
passes(
    "cookie-several",
    "Several Set-Cookie fields stay apart and in order",
    "RFC 9110 5.3; RFC 6265 3",
    (
        ("Content-Type", "text/html"),
        ("Set-Cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
        ("Set-Cookie", "b=2; HttpOnly"),
        ("Set-Cookie", "a=3; Path=/x"),
    ),
    body=_HTML,
    accept=PAGE,
)


@rule("cookie-sent", "The browser's cookies reach the origin as they are", "RFC 6265 5.4")
async def cookie_sent(stand: Stand) -> None:
    got = await stand.ask(raw(200, JPEG, PHOTO), (("Cookie", 'a=1; b="x y"; c=%20'),))
    assert got.asked.all("cookie") == ['a=1; b="x y"; c=%20']


@rule("cookie-apart", "Two users with other cookies each get their own answer", "RFC 9111 3.5; FACTS")
async def cookie_apart(stand: Stand) -> None:
    async def script(request: Request) -> bytes:
        one = request.get("cookie") == "user=1"
        like = picture(300, 200) if one else picture(200, 300)
        return raw(200, (*JPEG, ("ETag", f'"{one}"'), ("Cache-Control", "max-age=60")), saved(like, "JPEG"))

    path = stand.place(script)
    for _ in range(2):
        shown(await stand.ask(path=path, fields=(("Cookie", "user=1"),)), picture(300, 200))
        shown(await stand.ask(path=path, fields=(("Cookie", "user=2"),)), picture(200, 300))


passes(
    "secret-authorised",
    "What answers an authorised request passes, and the origin sees the credentials",
    "RFC 9111 3.5; FACTS",
    request=(("Authorization", "Bearer abc.def"),),
)


@rule("secret-reaches", "Authorization reaches the origin", "RFC 9110 11.6.2")
async def authorization(stand: Stand) -> None:
    got = await stand.ask(raw(200, JPEG, PHOTO), (("Authorization", "Basic eDp5"),))
    assert got.asked.get("authorization") == "Basic eDp5"


passes(
    "secret-challenge",
    "Every challenge of a 401 reaches the browser",
    "RFC 9110 11.6.1",
    (("WWW-Authenticate", 'Basic realm="a, b"'), ("WWW-Authenticate", "Bearer"), ("Content-Type", "text/plain")),
    status=401,
    body=b"no",
    accept=ANY,
)


@rule("secret-proxy", "Credentials for the proxy never reach an origin", "RFC 9110 11.7.1")
async def proxy_credentials(stand: Stand) -> None:
    got = await stand.ask(raw(200, JPEG, PHOTO), (("Proxy-Authorization", "Basic eDp5"),))
    assert got.asked.get("proxy-authorization") is None
