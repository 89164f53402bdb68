from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from proxy.bundle.imagefile import FORMATS, encode_image
from proxy.bundle.provenance import Provenance, Source, field_value, xmp_packet
from proxy.provenance import MAX_PACKET_BYTES, read_field, read_file, read_packet

TOLD = Provenance(Source.COMPOSITE, "diffusion@0123abcd", bytes(range(8)))
SCENE = np.random.default_rng(3).integers(0, 256, (48, 64, 3), dtype=np.uint8)

provenances = st.builds(
    Provenance,
    st.sampled_from(Source),
    st.sampled_from(["sketch@0123abcd", "preview", "diffusion@ffffffff", "unknown"]),
    st.none() | st.binary(min_size=8, max_size=32),
)


@pytest.mark.parametrize("media_type", FORMATS)
def test_files_say_where_they_come_from_and_show_the_same_pixels(media_type: str) -> None:
    told, silent = encode_image(SCENE, media_type, 90, xmp_packet(TOLD)), encode_image(SCENE, media_type, 90)
    assert read_file(told) == TOLD
    assert read_file(silent) is None
    pixels = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in (told, silent)]
    assert np.array_equal(*pixels)
    assert 0 < len(told) - len(silent) < 900


@given(provenances)
def test_what_is_written_is_read(told: Provenance) -> None:
    assert read_packet(xmp_packet(told)) == told
    assert read_field(field_value(told)) == told


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"<",
        b"no xml \xff",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>',
        b" " * MAX_PACKET_BYTES + xmp_packet(TOLD),
        xmp_packet(TOLD).replace(b"Sketchwire diff", b"Photoshop diff"),
        xmp_packet(TOLD).replace(b"compositeWith", b"invented"),
        xmp_packet(TOLD).replace(b"sha-256:0001", b"sha-256:zz"),
        b'<?xml version="1.0" encoding="x-none"?>' + xmp_packet(TOLD),
    ],
)
def test_what_is_not_ours_says_nothing(packet: bytes) -> None:
    assert read_packet(packet) is None


def test_every_beginning_of_a_packet_is_refused_quietly() -> None:
    packet = xmp_packet(TOLD)
    whole = packet.index(b"</x:xmpmeta>") + len(b"</x:xmpmeta>")
    assert all(read_packet(packet[:length]) is None for length in range(whole))
    assert read_packet(packet[:whole]) == TOLD


@given(st.binary(max_size=300))
def test_garbage_is_no_image_and_no_packet(data: bytes) -> None:
    assert read_file(data) is None and read_packet(data) is None


@pytest.mark.parametrize("value", [None, "", "source", "source=x;engine=y", "engine=sketch@0123abcd", ";;=;"])
def test_malformed_fields_say_nothing(value: str | None) -> None:
    assert read_field(value) is None
