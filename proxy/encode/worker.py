"""The encoding process: reads requests from its standard input, writes answers to its standard output.

In: frames of a 4-byte big-endian length and a pickled `EncodeRequest` or `MeasureRequest`. Out: an empty frame
when it is ready, then frames with `Encoded`, `Measured` or `Declined`.
Refuses: more memory than it was started with plus its allowance (the allocation fails and the image is declined).

`python -m proxy.encode.worker MIB DETECTORS WEIGHTS`: the allowance, the detectors to load before the first image, and
the file of a YuNet model or nothing.

Pickles come from and go to the parent process only, over pipes that nobody else holds.
"""

from __future__ import annotations

import logging
import os
import pickle
import resource
import sys
from typing import BinaryIO

import cv2

from proxy.config import DETECTORS
from proxy.encode.encoder import encode
from proxy.encode.measure import measure
from proxy.encode.request import Declined, EncodeRequest, MeasureRequest
from proxy.encode.salient import warm
from proxy.policy import Reason
from proxy.shared.heap import Trimmer, bound_heaps

logger = logging.getLogger("sketchwire.encode")

LENGTH_BYTES = 4
SLACK_BYTES = 96 * 1024 * 1024
READY = bytes(LENGTH_BYTES)  # an empty frame: the detectors are loaded, requests may come


def limit_memory(allowance_mib: int) -> None:
    """Let this process's address space grow by `allowance_mib` and no further."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        pages = int(statm.read().split()[0])
    limit = pages * resource.getpagesize() + allowance_mib * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer every request until the input ends."""
    trimmer = Trimmer(SLACK_BYTES)
    while len(head := requests.read(LENGTH_BYTES)) == LENGTH_BYTES:
        request = pickle.loads(requests.read(int.from_bytes(head, "big")))
        answer = pickle.dumps(_answer(request))
        answers.write(len(answer).to_bytes(LENGTH_BYTES, "big") + answer)
        answers.flush()
        del request, answer
        trimmer.look()


def _answer(request: EncodeRequest | MeasureRequest) -> object:
    """What the request asks for. A codec that fails in a way nobody foresaw costs the image, not the process."""
    try:
        return measure(request) if isinstance(request, MeasureRequest) else encode(request)
    except MemoryError:
        return Declined(Reason.TOO_MANY_PIXELS, "more memory than an encoder may use")
    except Exception as error:
        logger.exception("defect while encoding; the original passes")
        return Declined(Reason.INTERNAL_ERROR, type(error).__name__)


def main() -> None:
    """Serve on the process's own standard streams; anything printed by a library goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    bound_heaps()
    cv2.setNumThreads(1)
    detectors, face_weights = sys.argv[2:4] if len(sys.argv) > 3 else (",".join(DETECTORS), "")
    warm(face_weights or None, detectors.split(","))
    if sys.platform == "linux" and len(sys.argv) > 1:
        limit_memory(int(sys.argv[1]))
    answers.write(READY)
    answers.flush()
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
