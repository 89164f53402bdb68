"""Exported files, read by another program: Debian's jbig2dec."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from proxy.bundle import BundleError
from proxy.bundle.jbig2 import encode, export, wrap
from proxy.bundle.jbig2.region import Bitmap

JBIG2DEC = shutil.which("jbig2dec")


@pytest.mark.skipif(JBIG2DEC is None, reason="jbig2dec is not installed (Debian: apt install jbig2dec)")
def test_jbig2dec_reads_every_pixel(
    bitmap: Bitmap, template: int, typical_prediction: bool, implementation: str, tmp_path: Path
) -> None:
    assert JBIG2DEC is not None
    source, target = tmp_path / "map.jb2", tmp_path / "map.pbm"
    source.write_bytes(export(bitmap, template, typical_prediction, implementation=implementation))
    done = subprocess.run(
        [JBIG2DEC, "-t", "pbm", "-o", str(target), str(source)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower(), done.stderr
    white = np.asarray(Image.open(target))
    np.testing.assert_array_equal(~white, bitmap)


def test_layout_is_the_standards(template: int, typical_prediction: bool, canny: Bitmap) -> None:
    """Annex D.1 and clause 7, byte by byte, by a reader of its own."""
    height_px, width_px = canny.shape
    data = export(canny, template, typical_prediction)
    assert data[:13] == bytes.fromhex("974A42320D0A1A0A 01 00000001")
    segments, at = [], 13
    while at < len(data):
        number, kind, references, page, size = struct.unpack_from(">IBBBI", data, at)
        assert references == 0
        segments.append((number, kind, page, data[at + 11 : at + 11 + size]))
        at += 11 + size
    assert at == len(data)
    assert [(n, k, p) for n, k, p, _ in segments] == [(0, 48, 1), (1, 38, 1), (2, 49, 1), (3, 51, 0)]
    assert segments[0][3] == struct.pack(">4IBH", width_px, height_px, 0, 0, 0, 0)
    region = segments[1][3]
    assert region[:17] == struct.pack(">4IB", width_px, height_px, 0, 0, 0)
    assert region[17] == (template << 1) + (8 if typical_prediction else 0)
    nominal = ("03fffdff02fefefe", "03ff", "02ff", "02ff")[template]
    assert region[18:].hex() == nominal + encode(canny, template, typical_prediction).hex() + "ffac"


def test_wrapping_a_payload_is_exporting_its_bitmap(canny: Bitmap, template: int, typical_prediction: bool) -> None:
    height_px, width_px = canny.shape
    payload = encode(canny, template, typical_prediction)
    wrapped = wrap(payload, width_px, height_px, template, typical_prediction)
    assert wrapped == export(canny, template, typical_prediction)
    assert len(wrapped) - len(payload) == (104 if template == 0 else 98)


def test_refuses_what_encode_refuses() -> None:
    with pytest.raises(BundleError):
        export(np.zeros((0, 3), bool))
