"""Entity tags of rewritten images: ours on the link, the origin's towards the origin, with no table between them.

In: ETag, If-None-Match and If-Range values. Out: the same with the origin's tag wrapped in ours or unwrapped.
Refuses: tags too long to wrap (they get none), and to unwrap what we did not wrap.

A wrapped tag carries the origin's own tag in base64url, so that a revalidation can be mapped back even after a restart.
It is weak, for another engine may draw other pixels: browsers then never ask for a part of a reconstruction.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

_OURS = "swb-"
_LOCAL = "swd-"
_MAX_CHARS = 200
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def wrap(origin_tag: str | None) -> str | None:
    """Our tag for a rewritten image whose origin gave `origin_tag`; None when there is none or it is malformed."""
    if origin_tag is None or len(origin_tag) > _MAX_CHARS or not _TAG.fullmatch(origin_tag):
        return None
    coded = urlsafe_b64encode(origin_tag.encode("latin-1")).decode("ascii").rstrip("=")
    return f'W/"{_OURS}{coded}"'


def unwrap(tag: str) -> str | None:
    """The origin's tag inside one of ours, or None when `tag` is not ours."""
    inner = tag.removeprefix("W/").strip('"')
    if not inner.startswith(_OURS):
        return None
    coded = inner.removeprefix(_OURS)
    try:
        origin_tag = urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode("latin-1")
    except (binascii.Error, ValueError):
        return None
    return origin_tag if _TAG.fullmatch(origin_tag) else None


def local(digest: bytes) -> str:
    """A tag for a reconstruction whose origin gave none; it means something to this downstream proxy only."""
    return f'W/"{_LOCAL}{digest[:9].hex()}"'


def is_ours(tag: str) -> bool:
    """Whether a tag was made by either proxy."""
    return tag.removeprefix("W/").strip('"').startswith((_OURS, _LOCAL))


def split(value: str | None) -> list[str]:
    """The tags of an If-None-Match value; `*` stands for itself."""
    if value is None:
        return []
    return ["*"] if value.strip() == "*" else _TAG.findall(value)


def for_origin(if_none_match: str | None, wanted: bool = True) -> tuple[str | None, dict[str, str]]:
    """If-None-Match as the origin should see it (None: leave it out), and {the origin's tag: ours} for its 304.

    Our tags are unwrapped if reconstructions are `wanted`, else left out.
    """
    outgoing: list[str] = []
    back: dict[str, str] = {}
    for tag in split(if_none_match):
        origin_tag = unwrap(tag) if wanted else None
        if origin_tag is not None:
            back[opaque(origin_tag)] = tag
            outgoing.append(origin_tag)
        elif not is_ours(tag):
            outgoing.append(tag)
    return (", ".join(outgoing) or None), back


def opaque(tag: str) -> str:
    """The tag without its weakness flag, for weak comparison (RFC 9110, section 8.8.3.2)."""
    return tag.removeprefix("W/")
