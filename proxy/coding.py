"""Removes content codings (gzip, deflate, brotli, zstd) without ever holding more than a limit.

In: a coded body and the value of its Content-Encoding. Out: the decoded bytes, or their beginning. Refuses: unknown or
stacked codings and broken streams (`CodingError`), and bodies that grow over the limit (`CodingTooLarge`).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator

import brotli

_CHUNK = 64 * 1024
# a brotli decoder may give 16 MiB for a dozen bytes, and has no output limit before brotli 1.2
_BROTLI_CHUNK = 64


class CodingError(ValueError):
    """The body is not what its Content-Encoding says: leave it alone."""


class CodingTooLarge(CodingError):
    """The body grows over the limit when decoded."""


def decode(data: bytes, codings: list[str], limit_bytes: int) -> bytes:
    """The whole body without its one coding. Raises CodingError, CodingTooLarge."""
    found = bytearray()
    for piece in _pieces(data, codings, limit_bytes + 1):
        found += piece
        if len(found) > limit_bytes:
            raise CodingTooLarge(f"the body is over {limit_bytes} bytes when decoded")
    return bytes(found)


def decode_prefix(data: bytes, codings: list[str], limit_bytes: int) -> bytes:
    """What can be decoded of `data`, which may be cut anywhere, up to `limit_bytes`. Raises CodingError if none."""
    found = bytearray()
    try:
        for piece in _pieces(data, codings, limit_bytes, whole=False):
            found += piece
            if len(found) >= limit_bytes:
                break
    except CodingError:
        if not found:
            raise
    return bytes(found[:limit_bytes])


def _pieces(data: bytes, codings: list[str], limit_bytes: int, whole: bool = True) -> Iterator[bytes]:
    wanted = [coding for coding in codings if coding != "identity"]
    if not wanted:
        yield data[:limit_bytes]
        return
    decoder = _DECODERS.get(wanted[0]) if len(wanted) == 1 else None
    if decoder is None:
        raise CodingError(f"unknown content coding {', '.join(wanted)!r}")
    yield from decoder(data, limit_bytes, whole)


def _inflate(data: bytes, limit_bytes: int, whole: bool) -> Iterator[bytes]:
    """gzip (any number of members), zlib and the headerless deflate that some servers send."""
    window = 31 if data[:2] == b"\x1f\x8b" else 15 if data[:1] and data[0] & 15 == 8 else -15
    while data:
        inflater = zlib.decompressobj(window)
        try:
            while data and not inflater.eof:
                yield inflater.decompress(data, _CHUNK)
                data = inflater.unconsumed_tail
            yield inflater.flush() if not data and not inflater.eof else b""
        except zlib.error as error:
            raise CodingError(f"broken deflate stream: {error}") from error
        if not inflater.eof:
            if whole:
                raise CodingError("the deflate stream is cut short")
            return
        data = inflater.unused_data if window == 31 else b""


def _brotli(data: bytes, limit_bytes: int, whole: bool) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    try:
        for start in range(0, len(data), _BROTLI_CHUNK):
            yield decoder.process(data[start : start + _BROTLI_CHUNK])
    except brotli.error as error:
        raise CodingError(f"broken brotli stream: {error}") from error
    if whole and not decoder.is_finished():
        raise CodingError("the brotli stream is cut short")


def _zstd(data: bytes, limit_bytes: int, whole: bool) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise CodingError("the zstandard package is not installed") from error
    try:
        with zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(io.BytesIO(data)) as reader:
            while piece := reader.read(_CHUNK):
                yield piece
    except zstandard.ZstdError as error:
        raise CodingError(f"broken zstd stream: {error}") from error


_DECODERS: dict[str, Callable[[bytes, int, bool], Iterator[bytes]]] = {
    "gzip": _inflate,
    "x-gzip": _inflate,
    "deflate": _inflate,
    "br": _brotli,
    "zstd": _zstd,
}
