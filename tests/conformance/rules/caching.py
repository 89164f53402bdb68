"""What may not be changed, parts, validators, and the fields that describe a rewritten picture."""

from __future__ import annotations

from tests.conformance.origin import Fields, Request, Script, raw
from tests.conformance.rule import JPEG, PHOTO, passes, rewritten, rule, shown, untouched
from tests.conformance.stand import Stand

MODIFIED = "Sun, 01 Nov 2026 10:00:00 GMT"

for _name, _text, _value in (
    ("plain", "An answer with no-transform passes byte for byte", "no-transform"),
    ("among", "no-transform is found among other directives", "public, max-age=60, no-transform"),
    ("case", "Directives have no case", "max-age=60, No-Transform"),
):
    passes(f"untouched-{_name}", _text, "RFC 9111 5.2.2.6", (*JPEG, ("Cache-Control", _value), ("ETag", '"p1"')))
passes(
    "untouched-second",
    "no-transform is found in a second Cache-Control field",
    "RFC 9110 5.3",
    (*JPEG, ("Cache-Control", "max-age=60"), ("Cache-Control", "no-transform")),
)
passes(
    "untouched-asked",
    "A browser that asks for no-transform gets the origin's bytes",
    "RFC 9111 5.2.1.6",
    request=(("Cache-Control", "no-transform"),),
)


def file(fields: Fields = JPEG, body: bytes = PHOTO, tag: str = "", modified: str = "") -> Script:
    """A web server's file: validators, ranges, HEAD."""
    validators = ((("ETag", tag),) if tag else ()) + ((("Last-Modified", modified),) if modified else ())

    async def script(request: Request) -> bytes:
        held, since, part = request.get("if-none-match"), request.get("if-modified-since"), request.get("range")
        known = held is not None and (held == "*" or tag.removeprefix("W/") in held) if tag else False
        if known or (held is None and modified and since == modified):
            return raw(304, (*fields, *validators))
        if part and (request.get("if-range") in (None, tag)):
            first, _, last = part.removeprefix("bytes=").partition("-")
            if "," in part:
                return raw(200, (*fields, *validators), body)
            start = int(first) if first else len(body) - int(last)
            end = int(last) + 1 if first and last else len(body)
            if start >= len(body):
                return raw(416, (("Content-Range", f"bytes */{len(body)}"),), b"")
            span = ("Content-Range", f"bytes {start}-{min(end, len(body)) - 1}/{len(body)}")
            return raw(206, (*fields, *validators, span), body[start:end])
        return raw(200, (*fields, *validators, ("Accept-Ranges", "bytes")), body)

    return script


for _name, _value, _first, _end in (
    ("span", "bytes=100-199", 100, 200),
    ("open", "bytes=1000-", 1000, len(PHOTO)),
    ("suffix", "bytes=-50", len(PHOTO) - 50, len(PHOTO)),
):

    @rule(
        f"range-{_name}",
        f"`{_value}` is answered with that part of the original, after the picture was rewritten",
        "RFC 9110 14.2; FACTS",
    )
    async def part(stand: Stand, value: str = _value, first: int = _first, end: int = _end) -> None:
        path = stand.place(file(tag='"p1"'))
        rewritten(await stand.ask(path=path))
        got = await stand.ask(path=path, fields=(("Range", value),))
        assert got.answer.status == 206 and got.answer.body == PHOTO[first:end]
        assert got.answer.get("content-range") == f"bytes {first}-{end - 1}/{len(PHOTO)}"


@rule("range-first", "A part of an image that nobody has seen yet comes from the origin", "RFC 9110 14.2")
async def range_first(stand: Stand) -> None:
    got = await stand.ask(file(tag='"p1"'), fields=(("Range", "bytes=10-19"),))
    assert got.answer.status == 206 and got.answer.body == PHOTO[10:20] and got.asked.get("range") == "bytes=10-19"


@rule("range-multi", "Several ranges at once are answered with them or with all of the original", "RFC 9110 14.2")
async def range_multi(stand: Stand) -> None:
    path = stand.place(file(tag='"p1"'))
    rewritten(await stand.ask(path=path))
    got = await stand.ask(path=path, fields=(("Range", "bytes=0-9,20-29"),))
    whole = got.answer.status == 200 and got.answer.body == PHOTO
    assert whole or (got.answer.status == 206 and got.answer.type == "multipart/byteranges")


@rule("range-416", "A range behind the end is answered with 416 and the original's size", "RFC 9110 15.5.17")
async def range_416(stand: Stand) -> None:
    path = stand.place(file(tag='"p1"'))
    rewritten(await stand.ask(path=path))
    got = await stand.ask(path=path, fields=(("Range", "bytes=9999999-"),))
    assert got.answer.status == 416 and got.answer.get("content-range") == f"bytes */{len(PHOTO)}"


@rule("range-unknown-unit", "Ranges of an unknown unit are ignored: all of it comes", "RFC 9110 14.2")
async def range_unit(stand: Stand) -> None:
    path = stand.place(SERVED_FILE)
    shown(await stand.ask(path=path))
    shown(await stand.ask(path=path, fields=(("Range", "rows=1-2"),)))


SERVED_FILE = raw(200, JPEG, PHOTO)


@rule(
    "range-if-range", "A download of a rewritten picture is never resumed with the original's bytes", "RFC 9110 13.1.5"
)
async def if_range(stand: Stand) -> None:
    path = stand.place(file(tag='"p1"'))
    tag = (await stand.ask(path=path)).answer.get("etag") or '"none"'
    got = await stand.ask(path=path, fields=(("Range", "bytes=100-"), ("If-Range", tag)))
    assert got.answer.status == 200
    shown(got)


@rule("range-video", "Parts of a video pass as they are", "RFC 9110 14.2")
async def video(stand: Stand) -> None:
    body, fields = b"\0\0\0\x18ftypmp42" + bytes(9000), (("Content-Type", "video/mp4"),)
    got = await stand.ask(file(fields, body), fields=(("Range", "bytes=1000-1999"), ("Sec-Fetch-Dest", "video")))
    assert got.answer.status == 206 and got.answer.body == body[1000:2000]
    assert got.answer.get("accept-ranges") is None and got.answer.type == "video/mp4"


@rule("tag-other", "A rewritten picture has another tag than the original, and a weak one", "RFC 9110 8.8.3")
async def other_tag(stand: Stand) -> None:
    got = await stand.ask(file(tag='"strong"'))
    rewritten(got)
    tag = got.answer.get("etag")
    assert tag is None or (tag != '"strong"' and tag.startswith("W/"))


@rule(
    "tag-back",
    "The origin is asked about its own tag, and its 304 confirms the picture's",
    "RFC 9110 13.1.2; FACTS",
    ours=True,
)
async def tag_back(stand: Stand) -> None:
    path = stand.place(file(tag='"v1"'))
    first = await stand.ask(path=path)
    rewritten(first)
    tag = first.answer.get("etag") or ""
    again = await stand.ask(path=path, fields=(("If-None-Match", tag),))
    assert again.answer.status == 304 and again.answer.get("etag") == tag
    assert again.asked.get("if-none-match") == '"v1"'


@rule("tag-weak", "So it is with an origin's weak tag", "RFC 9110 8.8.3.2", ours=True)
async def tag_weak(stand: Stand) -> None:
    path = stand.place(file(tag='W/"v1"'))
    tag = (await stand.ask(path=path)).answer.get("etag") or ""
    again = await stand.ask(path=path, fields=(("If-None-Match", tag),))
    assert again.answer.status == 304 and again.asked.get("if-none-match") == 'W/"v1"'


@rule("tag-list", "In a list of tags each keeps its meaning", "RFC 9110 13.1.2", ours=True)
async def tag_list(stand: Stand) -> None:
    path = stand.place(file(tag='"v2"'))
    tag = (await stand.ask(path=path)).answer.get("etag") or ""
    again = await stand.ask(path=path, fields=(("If-None-Match", f'"old", {tag}, W/"older"'),))
    assert again.answer.status == 304 and again.answer.get("etag") == tag
    assert again.asked.get("if-none-match") == '"old", "v2", W/"older"'


@rule("tag-changed", "When the origin's image has changed, the new one comes", "RFC 9110 13.1.2")
async def tag_changed(stand: Stand) -> None:
    path = stand.place(file(tag='"v1"'))
    tag = (await stand.ask(path=path)).answer.get("etag") or '"v1"'
    stand.origin.scripts[path] = file(tag='"v2"')
    again = await stand.ask(path=path, fields=(("If-None-Match", tag),))
    shown(again)
    assert again.answer.get("etag") != tag


@rule("tag-star", "`If-None-Match: *` passes", "RFC 9110 13.1.2")
async def tag_star(stand: Stand) -> None:
    got = await stand.ask(file(tag='"v1"'), fields=(("If-None-Match", "*"),))
    assert got.answer.status == 304 and got.asked.get("if-none-match") == "*"


@rule("tag-original", "A browser that holds the original from before is told that it is still good", "RFC 9110 13.1.2")
async def tag_original(stand: Stand) -> None:
    got = await stand.ask(file(tag='"v1"'), fields=(("If-None-Match", '"v1"'),))
    assert got.answer.status == 304 and got.answer.get("etag") == '"v1"'


@rule("tag-since", "If-Modified-Since passes, and Last-Modified is kept on what is rewritten", "RFC 9110 13.1.3")
async def since(stand: Stand) -> None:
    path = stand.place(file(modified=MODIFIED))
    first = await stand.ask(path=path)
    rewritten(first)
    assert first.answer.get("last-modified") == MODIFIED
    again = await stand.ask(path=path, fields=(("If-Modified-Since", MODIFIED), ("Cache-Control", "max-age=0")))
    assert again.answer.status == 304 and again.asked.get("if-modified-since") == MODIFIED


@rule(
    "tag-fresh",
    "While a picture is fresh, it is confirmed without asking the origin",
    "RFC 9111 4.2; DESIGN",
    ours=True,
)
async def fresh(stand: Stand) -> None:
    path = stand.place(file((*JPEG, ("Cache-Control", "max-age=600")), tag='"v1"'))
    tag = (await stand.ask(path=path)).answer.get("etag") or ""
    again = await stand.ask(path=path, fields=(("If-None-Match", tag),))
    assert again.answer.status == 304 and not again.seen


@rule("tag-reload", "A reload (no-cache) reaches the origin even then", "RFC 9111 5.2.1.4")
async def reload(stand: Stand) -> None:
    path = stand.place(file((*JPEG, ("Cache-Control", "max-age=600")), tag='"v1"'))
    tag = (await stand.ask(path=path)).answer.get("etag") or '"v1"'
    again = await stand.ask(path=path, fields=(("If-None-Match", tag), ("Cache-Control", "no-cache")))
    assert again.seen and again.answer.status in (200, 304)


@rule("tag-post", "If-Match and If-Unmodified-Since pass as they are", "RFC 9110 13.1.1")
async def if_match(stand: Stand) -> None:
    got = await stand.ask(
        raw(412, (), b""), (("If-Match", '"a", "b"'), ("If-Unmodified-Since", MODIFIED)), method="PUT", body=b"x"
    )
    assert got.answer.status == 412
    assert (got.asked.get("if-match"), got.asked.get("if-unmodified-since")) == ('"a", "b"', MODIFIED)


async def _made(stand: Stand, *fields: tuple[str, str]) -> tuple[str | None, ...]:
    got = await stand.ask(raw(200, (*JPEG, *fields), PHOTO))
    rewritten(got)
    return tuple(got.answer.get(name) for name, _ in fields)


for _name, _field, _value, _source in (
    ("md5", "Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ==", "RFC 2616 14.15"),
    ("digest", "Digest", "sha-256=4REjxQ4yrqUVicfSKYNO/cF9zNj5ANbzgDZt3/h3Qxo=", "RFC 3230"),
    ("content-digest", "Content-Digest", "sha-256=:4REjxQ4yrqUVicfSKYNO/cF9zNj5ANbzgDZt3/h3Qxo=:", "RFC 9530 2"),
    ("repr-digest", "Repr-Digest", "sha-256=:4REjxQ4yrqUVicfSKYNO/cF9zNj5ANbzgDZt3/h3Qxo=:", "RFC 9530 3"),
    ("accept-ranges", "Accept-Ranges", "bytes", "RFC 9110 14.3"),
):

    @rule(f"head-{_name}", f"A rewritten picture has no {_field}: the origin's no longer holds", f"{_source}; FACTS")
    async def dropped(stand: Stand, field: str = _field, value: str = _value) -> None:
        assert await _made(stand, (field, value)) == (None,)


@rule("head-vary", "A picture that depends on Accept says so in Vary, beside the origin's own", "RFC 9110 12.5.5")
async def vary(stand: Stand) -> None:
    got = await stand.ask(raw(200, (*JPEG, ("Vary", "Cookie")), PHOTO))
    rewritten(got)
    assert {"accept", "cookie"} <= set(got.answer.list("vary"))


@rule("head-vary-star", "`Vary: *` stays what it is", "RFC 9110 12.5.5")
async def vary_star(stand: Stand) -> None:
    assert await _made(stand, ("Vary", "*")) == ("*",)


@rule("head-via", "Who rewrites says so in Via, behind those that came before", "RFC 9110 7.6.3")
async def via(stand: Stand) -> None:
    got = await stand.ask(raw(200, (*JPEG, ("Via", "1.1 cdn")), PHOTO))
    rewritten(got)
    assert len(got.answer.list("via")) >= 2 and got.answer.list("via")[0] == "1.1 cdn"


@rule("head-length", "Content-Length is that of the new body, and there is only one", "RFC 9110 8.6")
async def length(stand: Stand) -> None:
    got = await stand.ask(SERVED_FILE)
    rewritten(got)
    assert got.answer.all("content-length") == [str(len(got.answer.body))]


@rule("head-no-store", "no-store stays on what is rewritten", "RFC 9111 5.2.2.5")
async def no_store(stand: Stand) -> None:
    got = await stand.ask(raw(200, (*JPEG, ("Cache-Control", "no-store")), PHOTO))
    rewritten(got)
    assert "no-store" in got.answer.list("cache-control") and got.answer.get("etag") is None


@rule("head-private", "No shared cache may keep a rewritten picture for others", "RFC 9111 5.2.2.7; DESIGN", ours=True)
async def private(stand: Stand) -> None:
    got = await stand.ask(raw(200, (*JPEG, ("Cache-Control", "public, max-age=600")), PHOTO))
    rewritten(got)
    assert "private" in got.answer.list("cache-control")


for _name, _field, _value, _source in (
    ("allow-origin", "Access-Control-Allow-Origin", "https://a.test", "Fetch 3.3.3"),
    ("expose", "Access-Control-Expose-Headers", "X-A", "Fetch 3.3.3"),
    ("corp", "Cross-Origin-Resource-Policy", "cross-origin", "Fetch 3.7"),
    ("timing", "Timing-Allow-Origin", "*", "Resource Timing 4.5"),
    ("nosniff", "X-Content-Type-Options", "nosniff", "Fetch 3.6"),
    ("disposition", "Content-Disposition", 'inline; filename="a.jpg"', "RFC 6266"),
    ("hsts", "Strict-Transport-Security", "max-age=1", "RFC 6797"),
):

    @rule(f"head-{_name}", f"{_field} stays on what is rewritten", _source)
    async def kept(stand: Stand, field: str = _field, value: str = _value) -> None:
        assert await _made(stand, (field, value)) == (value,)


@rule("head-untouched", "On what is not rewritten all of these stay", "RFC 9110 7.7")
async def all_kept(stand: Stand) -> None:
    fields = (
        *JPEG,
        ("ETag", '"a"'),
        ("Content-MD5", "x"),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "no-transform"),
    )
    untouched(await stand.ask(raw(200, fields, PHOTO)), 200, fields, PHOTO)
