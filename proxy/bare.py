"""AVIF files cross the link without their boxes, which are a twentieth of a small one and can be written again.

In: an AVIF file as `proxy.encode` writes it; or what crossed the link. Out: its AV1 data alone; or a file with the same
picture. Refuses: files that would not come back as they were (None, and they cross whole), and data from the network
that is no AV1 still picture (`ValueError`).

Downstream says that it can do this by naming FORMAT among its formats.
"""

from __future__ import annotations

from proxy.bundle import avif

MEDIA_TYPE = "application/vnd.sketchwire.avif"
FORMAT = "av1"
WHOLE_TYPE = "image/avif"
MAX_BYTES = 512 * 1024  # the boxes of larger files are not worth holding them


def crossing(body: bytes, media_type: str) -> tuple[bytes, str]:
    """(what crosses the link for a body, its media type): AVIF without its boxes, all else as it is."""
    obus = bared(body) if media_type == WHOLE_TYPE else None
    return (body, media_type) if obus is None else (obus, MEDIA_TYPE)


def arrived(body: bytes, media_type: str) -> tuple[bytes, str]:
    """(what was sent, its media type), from what `crossing` made of it. Raises ValueError."""
    return (whole(body), WHOLE_TYPE) if media_type == MEDIA_TYPE else (body, media_type)


def bared(file: bytes) -> bytes | None:
    """The AV1 data of an AVIF `file`; None where its boxes say more than `whole` would write."""
    if len(file) > MAX_BYTES:
        return None
    try:
        obus = avif.strip(file)
        return obus if avif.properties(file) == avif.properties(whole(obus)) else None
    except ValueError:
        return None


def whole(obus: bytes) -> bytes:
    """An AVIF file around AV1 data. Raises ValueError."""
    if len(obus) > MAX_BYTES:
        raise ValueError(f"{len(obus)} bytes of AV1 data; the limit is {MAX_BYTES}")
    return avif.wrap(obus, *avif.size(obus))
