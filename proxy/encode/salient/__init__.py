"""What must be true: faces, text and codes are found here, and travel as real pixels.

`detect` finds them in an image; `available` says which detectors this installation has; `warm` loads them before the
first image. `atlas.build` makes a bundle's section of what was found.
"""

from proxy.encode.salient.detect import Findings, available, detect, warm

__all__ = ["Findings", "available", "detect", "warm"]
