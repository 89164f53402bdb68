"""The conditioning bundle: what crosses the thin link instead of an image. See docs/bundle-format.md.

`pack` and `unpack` turn a `Bundle` into bytes and back; `pixels` and `preview` turn its parts into pictures.
"""

from proxy.bundle.container import MAX_BUNDLE_BYTES, MEDIA_TYPE, describe, pack, unpack
from proxy.bundle.errors import BundleError, BundleTooLarge, UnsupportedBundle
from proxy.bundle.model import Bundle, Coding, Depicted, Edges, Picture, Prompt, Rectangle, Salient, SalientKind

__all__ = [
    "MAX_BUNDLE_BYTES",
    "MEDIA_TYPE",
    "Bundle",
    "BundleError",
    "BundleTooLarge",
    "Coding",
    "Depicted",
    "Edges",
    "Picture",
    "Prompt",
    "Rectangle",
    "Salient",
    "SalientKind",
    "UnsupportedBundle",
    "describe",
    "pack",
    "unpack",
]
