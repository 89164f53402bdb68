"""With a network written here, byte by byte: averages of 16×16 squares as the embedding."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import numpy as np
import pytest

from evaluation.metrics import likeness
from evaluation.metrics.likeness import FILE, INPUT_PX, Faces, faces, square


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes((value & 0x7F | 0x80,)), value >> 7
    return out + bytes((value,))


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _ints(name: str, *values: int) -> bytes:
    """AttributeProto of type INTS."""
    return _field(1, name) + b"".join(_field(8, v) for v in values) + _field(20, 7)


def _tensor(name: str, *shape: int) -> bytes:
    """ValueInfoProto of a float tensor."""
    dims = b"".join(_field(1, _field(1, side)) for side in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, dims)))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pool = _field(1, "x") + _field(2, "p") + _field(3, "pool") + _field(4, "AveragePool")
    pool += _field(5, _ints("kernel_shape", 16, 16)) + _field(5, _ints("strides", 16, 16))
    flat = _field(1, "p") + _field(2, "y") + _field(3, "flat") + _field(4, "Flatten")
    graph = _field(1, pool) + _field(1, flat) + _field(2, "faces")
    graph += _field(11, _tensor("x", 1, 3, INPUT_PX, INPUT_PX)) + _field(12, _tensor("y", 1, 3 * 49))
    folder = tmp_path_factory.mktemp("faces")
    (folder / FILE).write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13)))
    return folder


@pytest.fixture
def portrait() -> np.ndarray:
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[:256, 96:352])


def test_the_cosine_of_the_squares_embeddings(network: Path, portrait: np.ndarray) -> None:
    metric, box = Faces(network / FILE), (80.0, 60.0, 90.0, 110.0)
    other = np.ascontiguousarray(portrait[:, ::-1])
    squares = [square(p, box).astype(np.float64) for p in (portrait, other)]
    vectors = [s.reshape(7, 16, 7, 16, 3).mean((1, 3)).ravel() for s in squares]
    expected = vectors[0] @ vectors[1] / np.linalg.norm(vectors[0]) / np.linalg.norm(vectors[1])
    assert metric.similarity(portrait, other, [box]) == pytest.approx(expected, abs=1e-4)
    assert metric.similarity(portrait, portrait, [box, (0.0, 0.0, 40.0, 40.0)]) == pytest.approx(1, abs=1e-6)
    assert metric.similarity(portrait, other, []) is None
    with pytest.raises(ValueError, match="different shapes"):
        metric.similarity(portrait, portrait[:-1], [box])


def test_the_square_has_a_margin_and_stays_inside_by_repeating_the_border(portrait: np.ndarray) -> None:
    assert square(portrait, (0.0, 0.0, 30.0, 30.0)).shape == (INPUT_PX, INPUT_PX, 3)
    flat = np.full((100, 100, 3), 7, np.uint8)
    assert (square(flat, (90.0, 90.0, 40.0, 40.0)) == 7).all()


def test_no_weights_are_said_and_other_files_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, network: Path
) -> None:
    likeness.faces.cache_clear()
    with caplog.at_level(logging.WARNING, "sketchwire.evaluation"):
        assert faces(tmp_path) is None
    assert "skipping face" in caplog.text
    assert faces(network) is not None
    (tmp_path / FILE).write_bytes(struct.pack(">Q", 7))
    with pytest.raises(ValueError, match="no face network"):
        Faces(tmp_path / FILE)
