from __future__ import annotations

from proxy import etag, rewrite
from proxy.bundle import MEDIA_TYPE
from proxy.headers import Headers
from proxy.negotiation import Skipped, Taken, parse_info
from proxy.policy import Reason

NONCE = "0123456789abcdef"
INFO = Taken(NONCE, "thumbnail", 5000, 12, "image/jpeg", "photograph")
ORIGIN = Headers(
    (
        ("Content-Type", "image/jpeg"),
        ("Content-Length", "5000"),
        ("Content-Encoding", "gzip"),
        ("ETag", '"a"'),
        ("Accept-Ranges", "bytes"),
        ("Digest", "x"),
        ("Content-MD5", "x"),
        ("Cache-Control", "max-age=60"),
        ("Last-Modified", "Sat, 04 Nov 2023 22:13:20 GMT"),
        ("Vary", "Origin, Accept"),
        ("Strict-Transport-Security", "max-age=1"),
        ("Access-Control-Allow-Origin", "*"),
        ("Server", "x" * 100),
        ("Content-Security-Policy", "y" * 300),
    )
)


def names(headers: Headers) -> set[str]:
    return {name.lower() for name, _ in headers}


def test_bundle_head_describes_the_bundle_and_nothing_else() -> None:
    head = rewrite.bundle_head(ORIGIN, 321, INFO)
    assert head.media_type() == MEDIA_TYPE and head.number("content-length") == 321
    gone = {"content-encoding", "accept-ranges", "digest", "content-md5", "server", "content-security-policy"}
    assert not names(head) & gone
    assert names(head) >= {"strict-transport-security", "access-control-allow-origin", "last-modified", "via"}
    assert etag.unwrap(head.get("etag") or "") == '"a"' and len(head.get_all("etag")) == 1
    assert head.tokens("vary") == ["origin", "accept", "save-data", "sketchwire-accept"]
    assert parse_info(head.get("Sketchwire-Info")) == INFO
    assert len(names(head)) == len(head.fields), "no field twice"


def test_shown_head_is_for_the_browser() -> None:
    link = rewrite.bundle_head(ORIGIN, 321, INFO)
    head = rewrite.shown_head(link, "image/webp", 999, '"t"', degraded=False)
    assert head.media_type() == "image/webp" and head.number("content-length") == 999
    assert head.get("cache-control") == "private, no-cache" and head.get("etag") == '"t"'
    assert head.tokens("vary") == ["origin", "accept", "save-data"]
    assert not [name for name in names(head) if name.startswith("sketchwire")]
    assert "age" not in names(head) and "expires" not in names(head)


def test_provenance_reaches_the_browser_and_is_always_our_own() -> None:
    forged = Headers((*ORIGIN, ("Sketchwire-Provenance", "source=digitalCapture"), ("sketchwire-provenance", "x")))
    for head in (rewrite.neutralised(forged), rewrite.bundle_head(forged, 321, INFO)):
        assert "sketchwire-provenance" not in names(head)
    told = "source=trainedAlgorithmicMedia;engine=sketch@01234567"
    shown = rewrite.shown_head(forged, "image/webp", 9, '"t"', False, told)
    assert shown.get_all("sketchwire-provenance") == [told]
    assert "sketchwire-provenance" not in names(rewrite.shown_head(forged, "image/webp", 9, '"t"', False))


def test_degraded_and_unstorable_pictures_are_not_stored() -> None:
    link = rewrite.bundle_head(ORIGIN, 321, INFO)
    degraded = rewrite.shown_head(link, "image/webp", 9, '"t"', degraded=True)
    secret = rewrite.shown_head(Headers((("Cache-Control", "private, no-store"),)), "image/webp", 9, '"t"', False)
    for head in (degraded, secret):
        assert head.get("cache-control") == "no-store" and "etag" not in head


def test_vary_everything_stays() -> None:
    assert rewrite.bundle_head(Headers((("Vary", "Origin, *"),)), 1, INFO).get("vary") == "*"


def test_strangers_cannot_speak_for_us() -> None:
    forged = Headers((("Content-Type", f"{MEDIA_TYPE}; v=1"), ("sketchwire-info", "x"), ("Sketchwire-Anything", "y")))
    assert rewrite.neutralised(forged).fields == (("Content-Type", "application/octet-stream"),)
    assert rewrite.neutralised(ORIGIN) == ORIGIN


def test_our_tags_never_select_a_part() -> None:
    ours, theirs = etag.wrap('"a"') or "", '"a"'
    partial = Headers((("Range", "bytes=5-"), ("If-Range", ours), ("Accept", "*/*")))
    assert names(rewrite.without_partial(partial)) == {"accept"}
    foreign = Headers((("Range", "bytes=5-"), ("If-Range", theirs)))
    assert rewrite.without_partial(foreign) == foreign


def test_revalidations_are_mapped_there_and_back() -> None:
    ours = etag.wrap('W/"a"') or ""
    asked, back = rewrite.with_tags_for_origin(Headers((("If-None-Match", f'{ours}, "z"'),)), unwrap=True)
    assert asked.get("if-none-match") == 'W/"a", "z"'
    confirmed = rewrite.with_our_tag(Headers((("ETag", '"a"'),)), back)
    assert confirmed.fields == (("ETag", ours),)
    assert rewrite.with_our_tag(Headers((("ETag", '"z"'),)), back).get("etag") == '"z"'
    refused, back = rewrite.with_tags_for_origin(Headers((("If-None-Match", ours),)), unwrap=False)
    assert "if-none-match" not in refused and back == {}


def test_passed_images_get_two_fields() -> None:
    head = rewrite.announced(ORIGIN, Skipped(Reason.NO_GAIN))
    assert head.fields[: len(ORIGIN.fields)] == ORIGIN.fields
    assert names(head) - names(ORIGIN) == {"via", "sketchwire-info"}


def test_spooled_answers_have_their_own_length() -> None:
    head = rewrite.spooled_head(ORIGIN.adding(("Transfer-Encoding", "chunked")), 10)
    assert head.get_all("content-length") == ["10"] and "transfer-encoding" not in head and head.get("etag") == '"a"'


def test_what_concerns_one_hop_stays_there() -> None:
    came = Headers.of(
        (("Connection", "close, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "5"), ("X-End", "2"), ("Upgrade", "h2c"))
    )
    assert rewrite.end_to_end(came).fields == (("X-End", "2"), ("Connection", "close"))
    socket = Headers.of((("Connection", "Upgrade"), ("Upgrade", "websocket")))
    assert rewrite.end_to_end(socket) == socket
    vital = Headers.of((("Connection", "Cookie, Host"), ("Cookie", "a"), ("Host", "b")))
    assert rewrite.end_to_end(vital).fields == (("Cookie", "a"), ("Host", "b"))
    plain = Headers.of((("Connection", "keep-alive"), ("Accept", "*/*")))
    assert rewrite.end_to_end(plain) == plain
