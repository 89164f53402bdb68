"""Reads back what a reconstruction says about itself.

In: an image file, or the value of a Sketchwire-Provenance field. Out: its `Provenance`, or None. Refuses: files that
are no image, packets of over 64 KiB and those with a document type (an XML bomb needs one), all as None.

What is read is a claim: anyone can write or remove metadata, so it proves nothing about a file from elsewhere.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree

from PIL import Image

from proxy.bundle.provenance import VOCABULARY, Provenance, Source

MAX_PACKET_BYTES = 64 * 1024
_DESCRIPTION = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
_SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
_TOOL = "{http://ns.adobe.com/xap/1.0/}CreatorTool"
_ORIGINAL = "{http://ns.adobe.com/xap/1.0/mm/}OriginalDocumentID"
_OURS = "Sketchwire "
_DIGEST = re.compile(r"sha-256:((?:[0-9a-f]{2}){8,32})")
_ENGINE = re.compile(r"[a-z0-9][a-z0-9._+-]{0,39}(?:@[0-9a-f]{8})?")


def read_file(file: bytes) -> Provenance | None:
    """The provenance in the XMP packet of a JPEG, PNG or WebP file that Sketchwire wrote; None when there is none."""
    packet = xmp_of(file)
    return read_packet(packet) if packet is not None else None


def xmp_of(file: bytes) -> bytes | None:
    """The XMP packet of an image file, without decoding its pixels."""
    try:
        with Image.open(io.BytesIO(file), formats=("JPEG", "PNG", "WEBP")) as image:
            found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if isinstance(found, str):
        return found.encode("utf-8", "replace")
    return found if isinstance(found, bytes) else None


def read_packet(packet: bytes) -> Provenance | None:
    """The provenance in an XMP packet of ours, or None."""
    if len(packet) > MAX_PACKET_BYTES or b"<!" in packet:
        return None
    try:
        root = ElementTree.fromstring(packet.rstrip(b"\x00"))
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    for description in root.iter(_DESCRIPTION):
        tool, source = description.get(_TOOL, ""), description.get(_SOURCE_TYPE, "")
        if tool.startswith(_OURS) and source.startswith(VOCABULARY):
            return _made(source[len(VOCABULARY) :], tool[len(_OURS) :], description.get(_ORIGINAL))
    return None


def read_field(value: str | None) -> Provenance | None:
    """The provenance in a Sketchwire-Provenance field, or None."""
    parts = dict(part.strip().partition("=")[::2] for part in (value or "").split(";"))
    return _made(parts.get("source", ""), parts.get("engine", ""), parts.get("original"))


def _made(source: str, engine: str, original: str | None) -> Provenance | None:
    digest = _DIGEST.fullmatch(original) if original is not None else None
    if source not in set(Source) or not _ENGINE.fullmatch(engine) or (original is not None and digest is None):
        return None
    return Provenance(Source(source), engine, bytes.fromhex(digest.group(1)) if digest else None)
