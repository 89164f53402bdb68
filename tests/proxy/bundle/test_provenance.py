from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from proxy.bundle import Bundle, Edges, Prompt, Rectangle, Salient, jbig2
from proxy.bundle.atlas import layout
from proxy.bundle.pixels import crops
from proxy.bundle.provenance import FIELD, UNKNOWN, Provenance, Source, field_value, provenance_of, xmp_packet
from proxy.encode.pictures import avif_picture, palette

SKETCH, PREVIEW = "sketch@0123abcd", "preview@0123abcd"
DIGEST = bytes(range(8))
GREY = np.full((30, 40, 3), 90, np.uint8)
WORDS = Bundle(200, 120, prompt=Prompt("a cat"), original_sha256=DIGEST)
LINES = replace(WORDS, edges=Edges(9, 9, 2, False, jbig2.encode(np.eye(9, dtype=bool), template=2)))
PALETTE = replace(LINES, palette=palette(GREY))
THUMBNAIL = replace(WORDS, thumbnail=avif_picture(GREY, 60))


def with_crop() -> Bundle:
    rectangle = Rectangle(40, 30, 60, 50)
    plan = layout((rectangle,), 1)
    atlas = avif_picture(np.full((plan.height_px, plan.width_px, 3), 9, np.uint8), 90)
    made = replace(LINES, salient=Salient((rectangle,), 1, atlas))
    assert made.salient is not None and len(list(crops(made.salient))) == 1
    return made


@pytest.mark.parametrize(
    ("bundle", "drawn"),
    [
        (WORDS, Source.TRAINED),
        (LINES, Source.TRAINED),
        (PALETTE, Source.TRAINED),
        (THUMBNAIL, Source.COMPOSITE),
        (with_crop(), Source.COMPOSITE),
    ],
    ids=["words", "edges", "palette", "thumbnail", "crop"],
)
def test_real_pixels_make_a_composite(bundle: Bundle, drawn: Source) -> None:
    for engine in (SKETCH, "diffusion@0123abcd"):
        assert provenance_of(bundle, engine) == Provenance(drawn, engine, DIGEST)
    for engine in (PREVIEW, "preview"):
        assert provenance_of(bundle, engine) == Provenance(Source.ALTERED, engine, DIGEST)


@pytest.mark.parametrize("engine", ['x" evil="1', "a\r\nSet-Cookie: b", "", "Grün@01234567", "a" * 99])
def test_an_engine_that_is_no_name_cannot_break_out(engine: str) -> None:
    told = provenance_of(THUMBNAIL, engine)
    assert told.engine == UNKNOWN and told.source is Source.COMPOSITE
    ElementTree.fromstring(xmp_packet(told))
    assert field_value(told).isprintable()


def test_the_packet_is_small_well_formed_and_holds_no_words() -> None:
    for bundle in (WORDS, THUMBNAIL, replace(THUMBNAIL, original_sha256=bytes(32))):
        for engine in (SKETCH, "preview"):
            packet = xmp_packet(provenance_of(bundle, engine))
            assert len(packet) < 860 and b"a cat" not in packet
            ElementTree.fromstring(packet)
    assert len(xmp_packet(provenance_of(THUMBNAIL, SKETCH))) < 800


def test_only_what_a_model_drew_names_an_ai_system() -> None:
    drawn, shown = xmp_packet(provenance_of(PALETTE, SKETCH)), xmp_packet(provenance_of(PALETTE, PREVIEW))
    assert b'Iptc4xmpExt:AISystemUsed="Sketchwire sketch"' in drawn
    assert b'Iptc4xmpExt:AISystemVersionUsed="0123abcd"' in drawn
    assert b"AISystem" not in shown and b'xmp:CreatorTool="Sketchwire preview@0123abcd"' in shown


def test_the_field() -> None:
    assert FIELD == "Sketchwire-Provenance"
    assert field_value(provenance_of(THUMBNAIL, SKETCH)) == (
        "source=compositeWithTrainedAlgorithmicMedia;engine=sketch@0123abcd;original=sha-256:0001020304050607"
    )
    assert field_value(provenance_of(replace(WORDS, original_sha256=None), "sketch@0123abcd")) == (
        "source=trainedAlgorithmicMedia;engine=sketch@0123abcd"
    )
