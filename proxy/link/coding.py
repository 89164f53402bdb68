"""The codings of a body: what sites use (gzip, br, zstd), and the link's own, zstd with a dictionary of public text.

In: coded or plain bytes in pieces of any size. Out: plain or coded bytes, as soon as they are known. Refuses: what is
not in the coding it claims (`BadCoding`); a small piece that claims to be endless is decoded step by step, so that
whoever reads the pieces can stop.

`text.dict` is made by evaluation/linkbench/train_dictionary.py; docs/link.md has its sources and licences.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator
from importlib import resources

import brotli
import zstandard

STEP_BYTES = 512  # of coded bytes in a step: zstd makes 16 MiB of it at most
GZIP_STEP_BYTES = 4096
BEST_LEVEL, QUICK_LEVEL = 15, 9
BEST_UP_TO_BYTES = 256 * 1024
WINDOW_BYTES = 8 * 1024 * 1024
BROTLI = b"br"
KNOWN = frozenset((b"gzip", b"x-gzip", b"zstd", BROTLI))


class BadCoding(ValueError):
    """Bytes that are not in their coding."""


@functools.cache
def dictionary_bytes() -> bytes:
    """The dictionary of the package."""
    return resources.files("proxy.link").joinpath("text.dict").read_bytes()


@functools.cache
def dictionary_id() -> int:
    """Its name on the link, never 0: two ends that name the same one have the same one."""
    return zlib.crc32(dictionary_bytes()) or 1


@functools.cache
def _dictionary(level: int) -> zstandard.ZstdCompressionDict:
    made = zstandard.ZstdCompressionDict(dictionary_bytes())
    if level:
        made.precompute_compress(level)
    return made


class Encoder:
    """Makes one body of the link."""

    def __init__(self, with_dictionary: bool, size_bytes: int | None) -> None:
        level = BEST_LEVEL if size_bytes is None or size_bytes <= BEST_UP_TO_BYTES else QUICK_LEVEL
        self._stream = zstandard.ZstdCompressor(
            level=level,
            dict_data=_dictionary(level) if with_dictionary else None,
            write_checksum=False,
            write_content_size=False,
            write_dict_id=False,
        ).compressobj()

    def feed(self, data: bytes) -> bytes:
        """Take plain bytes; what comes out is not yet all of them."""
        return self._stream.compress(data)

    def flush(self) -> bytes:
        """What is missing for the other end to know everything until here."""
        return self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        """The end."""
        return self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


class Decoder:
    """Reads a body of the link; `trailer` is what stands behind its end."""

    def __init__(self, with_dictionary: bool) -> None:
        known = _dictionary(0) if with_dictionary else None
        self._stream = zstandard.ZstdDecompressor(dict_data=known, max_window_size=WINDOW_BYTES).decompressobj()
        self.trailer = b""
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the body is complete."""
        return self._ended

    def feed(self, data: bytes) -> bytes:
        """Decode one step, at most `STEP_BYTES`. Raises BadCoding."""
        if self._ended:
            self.trailer += data
            return b""
        try:
            out: bytes = self._stream.decompress(data)
        except zstandard.ZstdError as error:
            raise BadCoding(str(error)) from error
        if self._stream.eof:
            self._ended, self.trailer = True, self._stream.unused_data
        return out


def decoded(coding: bytes) -> SiteDecoder:
    """A decoder for what a site sends; b"" is no coding."""
    return {b"": SiteDecoder, b"gzip": _Gzip, b"x-gzip": _Gzip, b"zstd": _Zstd, BROTLI: _Brotli}[coding]()


class SiteDecoder:
    """Decodes what a site sends; this one has nothing to do."""

    def steps(self, data: bytes) -> Iterator[bytes]:
        """Plain bytes, step by step. Raises BadCoding."""
        yield data


class _Gzip(SiteDecoder):
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def steps(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), GZIP_STEP_BYTES):
            if self._stream.eof:  # browsers ignore what follows, too
                return
            try:
                yield self._stream.decompress(data[at : at + GZIP_STEP_BYTES])
            except zlib.error as error:
                raise BadCoding(str(error)) from error


class _Zstd(SiteDecoder):
    def __init__(self) -> None:
        self._stream = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompressobj()

    def steps(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), STEP_BYTES):
            if self._stream.eof:
                if any(data[at:]):
                    raise BadCoding("more than one zstd frame")
                return
            try:
                yield self._stream.decompress(data[at : at + STEP_BYTES])
            except zstandard.ZstdError as error:
                raise BadCoding(str(error)) from error
            if self._stream.unused_data:
                raise BadCoding("more than one zstd frame")


class _Brotli(SiteDecoder):
    """The library gives all that a piece makes at once, so pieces are tiny."""

    STEP_BYTES = 64

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def steps(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), self.STEP_BYTES):
            if self._stream.is_finished():
                return
            try:
                yield self._stream.process(data[at : at + self.STEP_BYTES])
            except brotli.error as error:
                raise BadCoding(str(error)) from error
