"""The header fields by which the two proxies agree on what may cross the link, and how their values are written.

In: header values from the other side, or from a stranger. Out: frozen values, and values as text. Refuses: what is not
written as below, too long or of another version, as None; strangers' headers must never become an error.

    Sketchwire-Accept: v=1;engine=sketch@1a2b3c4d;modes=edges,thumbnail;nonce=0123456789abcdef;client=01234567;
                       tier=economy;formats=avif,webp,av1;link=3g
    Sketchwire-Words: 0123456789abcdef
    Sketchwire-Info: n=0123456789abcdef;d=take;m=thumbnail;o=123456;t=231;c=image/jpeg;k=photo
    Sketchwire-Original: 1

`Sketchwire-Accept` travels downstream → upstream. It keeps the same value for a client while the process lives and the
link keeps its class, so that HPACK sends it once; `modes` is absent when every mode is welcome, `tier` when upstream's
is. `formats` are files that downstream can turn into something the browser shows, whatever the browser's own Accept
says, and `av1` is AVIF without its boxes (`proxy.bare`). `link` is the class of the link as downstream measures it.
`client` is a keyed hash of the client's address, for page context only. The nonce proves that an answer was made by the
paired upstream proxy: upstream removes the field before the origin sees it, so that no origin can echo it. All four
fields are removed before browsers and origins. The one field that browsers see, Sketchwire-Provenance
(proxy.bundle.provenance), never crosses the link: downstream makes it, and each side removes any that comes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.config import LINKS, TIERS
from proxy.policy import Reason

PREFIX = "sketchwire-"
ACCEPT = "Sketchwire-Accept"
WORDS = "Sketchwire-Words"
INFO = "Sketchwire-Info"
ORIGINAL = "Sketchwire-Original"
VERSION = "1"
NO_ENGINE = "preview"

_MAX_CHARS = 400
_MAX_MODES = 16
_MAX_NUMBER = 2**53
_KEY = re.compile(r"[a-z]{1,12}\Z")
_ENGINE = re.compile(r"[a-z0-9][a-z0-9._+-]{0,39}(?:@[0-9a-f]{8})?\Z")
_MODE = re.compile(r"[a-z0-9][a-z0-9+_-]{0,31}\Z")
_NONCE = re.compile(r"[0-9a-f]{16}\Z")
_CLIENT = re.compile(r"[0-9a-f]{8,32}\Z")
_FORMAT = re.compile(r"[a-z0-9]{1,12}\Z")
_TYPE = re.compile(r"[a-z0-9.+-]{1,32}/[a-z0-9.+-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Accept:
    """What downstream can reconstruct: `engine` as id@hash8, or plainly `preview`; no `modes` means every mode.

    `tier` is one of config.TIERS, or empty; `formats` are subtypes of image; `link` is one of config.LINKS, or empty.
    """

    engine: str
    nonce: str
    modes: tuple[str, ...] = ()
    client: str = ""
    tier: str = ""
    formats: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """Upstream made a bundle: of which mode, from how many origin bytes and of which type, in how many milliseconds."""

    nonce: str
    mode: str
    origin_bytes: int
    encode_ms: int = 0
    content_type: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Upstream left the image alone, and why."""

    reason: Reason


Info = Taken | Skipped


def format_accept(accept: Accept) -> str:
    """The value of Sketchwire-Accept."""
    fields = {"v": VERSION, "engine": accept.engine, "modes": ",".join(accept.modes)}
    fields |= {"nonce": accept.nonce, "client": accept.client, "tier": accept.tier}
    return _join(fields | {"formats": ",".join(accept.formats), "link": accept.link})


def parse_accept(value: str | None) -> Accept | None:
    """The capabilities in `value`, or None when it is absent, malformed or of another version."""
    fields = _split(value)
    if fields is None or fields.get("v") != VERSION:
        return None
    engine, nonce, client = fields.get("engine", ""), fields.get("nonce", ""), fields.get("client", "")
    modes = tuple(fields["modes"].split(",")) if "modes" in fields else ()
    well_formed = _ENGINE.match(engine) and _NONCE.match(nonce) and (not client or _CLIENT.match(client))
    if not well_formed or len(modes) > _MAX_MODES or not all(_MODE.match(mode) for mode in modes):
        return None
    tier, link = fields.get("tier", ""), fields.get("link", "")
    formats = tuple(fields["formats"].split(",")) if "formats" in fields else ()
    if len(formats) > _MAX_MODES or not all(_FORMAT.match(name) for name in formats):
        return None
    if tier not in ("", *TIERS) or link not in ("", *LINKS):
        return None
    return Accept(engine, nonce, modes, client, tier, formats, link)


def format_info(info: Info) -> str:
    """The value of Sketchwire-Info."""
    if isinstance(info, Skipped):
        return _join({"d": "skip", "r": info.reason.value})
    fields = {"n": info.nonce, "d": "take", "m": info.mode, "o": str(info.origin_bytes), "t": str(info.encode_ms)}
    return _join(fields | {"c": info.content_type, "k": info.kind})


def parse_info(value: str | None) -> Info | None:
    """What upstream says it did, or None when `value` is absent or malformed."""
    fields = _split(value)
    if fields is None:
        return None
    if fields.get("d") == "skip":
        return Skipped(Reason(fields["r"])) if fields.get("r") in set(Reason) else None
    nonce, mode, kind = fields.get("n", ""), fields.get("m", ""), fields.get("k", "")
    if fields.get("d") != "take" or not _NONCE.match(nonce) or not _MODE.match(mode):
        return None
    origin_bytes, encode_ms = _number(fields.get("o")), _number(fields.get("t", "0"))
    content_type = fields.get("c", "")
    if origin_bytes is None or encode_ms is None or (content_type and not _TYPE.match(content_type)):
        return None
    return Taken(nonce, mode, origin_bytes, encode_ms, content_type, kind if _MODE.match(kind) else "")


def format_words(digest: bytes) -> str:
    """The value of Sketchwire-Words: an 8-byte digest in hexadecimal."""
    return digest.hex()


def parse_words(value: str | None) -> bytes | None:
    """The digest in `value`, or None."""
    return bytes.fromhex(value) if value is not None and _NONCE.match(value) else None


def _join(fields: Mapping[str, str]) -> str:
    return ";".join(f"{key}={value}" for key, value in fields.items() if value)


def _split(value: str | None) -> dict[str, str] | None:
    """The `key=value` parts of a field, spaces around them dropped; None for garbage and repeated keys."""
    if value is None or len(value) > _MAX_CHARS or not value.isascii():
        return None
    fields: dict[str, str] = {}
    for part in value.split(";"):
        key, equals, content = part.strip().partition("=")
        if not equals or not _KEY.match(key) or key in fields:
            return None
        fields[key] = content
    return fields


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and len(text) < 17 and int(text) <= _MAX_NUMBER else None
