"""Bilevel edge maps in JBIG2 (ITU-T T.88), the coding that beats the others on Canny maps; no library needed.

In: bitmaps, or bare payloads with their size. Out: bare payloads, bitmaps, or complete .jb2 files for other programs.
Refuses: sizes and templates that cannot be (`BundleError`); every payload decodes to some bitmap.
"""

from proxy.bundle.jbig2.jb2file import export, wrap
from proxy.bundle.jbig2.region import IMPLEMENTATION, MAX_PIXELS, decode, encode

__all__ = ["IMPLEMENTATION", "MAX_PIXELS", "decode", "encode", "export", "wrap"]
