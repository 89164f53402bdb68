"""Where the pixels of a reconstruction come from, as its file and its HTTP head say it.

In: a bundle and the engine that drew it. Out: `Provenance`; its XMP packet (ISO 16684-1) and its header field.
Refuses: nothing; an engine's name that is none becomes `unknown`, for a picture must not be lost over its label.

The kind of source is a term of IPTC's vocabulary (https://cv.iptc.org/newscodes/digitalsourcetype/), which newsrooms,
search engines and C2PA read too. Real pixels of the original (a thumbnail, or crops shown as they are) that a trained
model filled up are `compositeWithTrainedAlgorithmicMedia`; what a trained model drew from words, edges or a palette
alone is `trainedAlgorithmicMedia`, since a palette's few colours and an outline show nothing of the scene itself. A
preview is the original's own data made larger by plain arithmetic, without a trained model: `algorithmicallyEnhanced`.
The page's words are not written into the file, though they may have been a prompt: they are the reader's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from proxy.bundle.model import Bundle

FIELD = "Sketchwire-Provenance"
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
UNTRAINED = "preview"  # the engine id that stands for "no model"
UNKNOWN = "unknown"

_ENGINE = re.compile(r"[a-z0-9][a-z0-9._+-]{0,39}(?:@[0-9a-f]{8})?")
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"{spaces} xmp:CreatorTool="{tool}"'
    ' Iptc4xmpExt:DigitalSourceType="{source}"{more}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
_SPACES = {
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
}


class Source(StrEnum):
    """The terms of IPTC's vocabulary that reconstructions need."""

    COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
    TRAINED = "trainedAlgorithmicMedia"
    ALTERED = "algorithmicallyEnhanced"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a reconstruction is: `engine` as id@hash8, `original_sha256` as in the bundle."""

    source: Source
    engine: str
    original_sha256: bytes | None = None


def provenance_of(bundle: Bundle, engine: str) -> Provenance:
    """The provenance of the picture that `engine` (its label) drew from `bundle`."""
    known = engine if _ENGINE.fullmatch(engine) else UNKNOWN
    if known.partition("@")[0] == UNTRAINED:
        source = Source.ALTERED
    elif bundle.thumbnail is not None or bundle.salient is not None:
        source = Source.COMPOSITE
    else:
        source = Source.TRAINED
    return Provenance(source, known, bundle.original_sha256)


def xmp_packet(provenance: Provenance) -> bytes:
    """The packet for the image file, UTF-8, about 600 bytes.

    `Iptc4xmpExt:AISystemUsed` and `…VersionUsed` are of the IPTC Photo Metadata Standard 2025.1. The original's digest
    stands as `xmpMM:OriginalDocumentID`; it is the beginning of the SHA-256 of the file that the site sent.
    """
    name, _, version = provenance.engine.partition("@")
    more, spaces = "", {"Iptc4xmpExt": _SPACES["Iptc4xmpExt"]}
    if provenance.source is not Source.ALTERED:
        more += f' Iptc4xmpExt:AISystemUsed="Sketchwire {name}"'
        more += f' Iptc4xmpExt:AISystemVersionUsed="{version}"' if version else ""
    if provenance.original_sha256 is not None:
        spaces = _SPACES
        more += f' xmpMM:OriginalDocumentID="sha-256:{provenance.original_sha256.hex()}"'
    declared = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in spaces.items())
    return _PACKET.format(
        spaces=declared, tool=f"Sketchwire {provenance.engine}", source=VOCABULARY + provenance.source, more=more
    ).encode()


def field_value(provenance: Provenance) -> str:
    """The value of Sketchwire-Provenance, such as `source=trainedAlgorithmicMedia;engine=sketch@1a2b3c4d`."""
    value = f"source={provenance.source};engine={provenance.engine}"
    return value + (f";original=sha-256:{provenance.original_sha256.hex()}" if provenance.original_sha256 else "")
