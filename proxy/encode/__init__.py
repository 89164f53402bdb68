"""The encoder: from an image's bytes to a conditioning bundle, or a stated reason why not.

`encode` does one image in this process; `proxy.encode.pool.EncoderPool` does many, each with a deadline, in processes
of their own.
"""

from proxy.encode.encoder import encode
from proxy.encode.request import BUNDLE_MODES, Declined, Encoded, EncodeRequest, Measured, MeasureRequest, Shortlist

__all__ = [
    "BUNDLE_MODES",
    "Declined",
    "EncodeRequest",
    "Encoded",
    "MeasureRequest",
    "Measured",
    "Shortlist",
    "encode",
]
