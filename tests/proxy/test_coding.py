from __future__ import annotations

import contextlib
import gzip
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxy.coding import CodingError, CodingTooLarge, decode, decode_prefix


def raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


CODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("coding", CODERS)
@given(data=st.binary(max_size=5000))
def test_codings_are_undone(coding: str, data: bytes) -> None:
    assert decode(CODERS[coding](data), [coding], 5000) == data


def test_headerless_deflate_and_several_gzip_members() -> None:
    assert decode(raw_deflate(b"hello"), ["deflate"], 100) == b"hello"
    assert decode(gzip.compress(b"a") + gzip.compress(b"b"), ["gzip"], 100) == b"ab"
    assert decode(b"as it is", ["identity"], 100) == b"as it is"


@pytest.mark.parametrize("coding", CODERS)
def test_bombs_stop_at_the_limit(coding: str) -> None:
    bomb = CODERS[coding](bytes(30_000_000))
    with pytest.raises(CodingTooLarge):
        decode(bomb, [coding], 100_000)
    assert decode_prefix(bomb, [coding], 1000) == bytes(1000)


@pytest.mark.parametrize("coding", CODERS)
def test_cut_streams_are_errors_but_their_beginning_can_be_read(coding: str) -> None:
    text = b"".join(b"<p>paragraph %d</p>" % n for n in range(20_000))
    coded = CODERS[coding](text)
    if coding != "zstd":
        with pytest.raises(CodingError):
            decode(coded[: len(coded) // 2], [coding], 10**6)
    beginning = decode_prefix(coded[: len(coded) // 2], [coding], 10**6)
    assert len(beginning) < len(text) and text.startswith(beginning)


@pytest.mark.parametrize("codings", [["compress"], ["gzip", "br"], ["aes128gcm"]])
def test_unknown_codings_are_errors(codings: list[str]) -> None:
    with pytest.raises(CodingError):
        decode(b"x", codings, 100)


@pytest.mark.parametrize("coding", CODERS)
@given(data=st.binary(min_size=1, max_size=300))
def test_garbage_never_raises_anything_else(coding: str, data: bytes) -> None:
    for read in (decode, decode_prefix):
        with contextlib.suppress(CodingError):
            read(data, [coding], 1000)
