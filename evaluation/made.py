"""What the encoder makes of an image file, mode by mode, with its bytes by section.

In: a file's bytes, a mode, the page's words. Out: `Made`, a bundle or the reason for none. Refuses nothing: what cannot
be encoded has a reason.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from proxy.bundle import Bundle, describe, pack, unpack
from proxy.encode import Declined, EncodeRequest, encode


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle in a mode: its packed size, bytes by section (they add up to it) and CPU time; or why there is none."""

    mode: str
    bundle: Bundle | None
    size_bytes: int
    sections: dict[str, int]
    encode_cpu_ms: float
    reason: str = ""
    kind: str = ""


def make(data: bytes, mode: str, words: str, engine: str = "preview", detect: bool = True) -> Made:
    """Encode `data` in `mode`; the words are sent, as to a receiver that never saw the page."""
    start = time.process_time()
    answer = encode(EncodeRequest(data, mode=mode, words=words or None, engine=engine, detect=detect))
    spent_ms = (time.process_time() - start) * 1000
    if isinstance(answer, Declined):
        return Made(mode, None, 0, {}, spent_ms, f"{answer.reason.value}: {answer.detail}", answer.kind)
    return _made(mode, unpack(answer.body), spent_ms, answer.kind)


def paper_salient(edges_palette: Made, salient: Made) -> Made:
    """The paper's fourth configuration: prompt, edges, palette and true pixels of what is salient."""
    if edges_palette.bundle is None or salient.bundle is None:
        return replace(salient, mode="paper-salient", bundle=None, size_bytes=0, sections={})
    bundle = replace(edges_palette.bundle, salient=salient.bundle.salient)
    return _made("paper-salient", bundle, edges_palette.encode_cpu_ms + salient.encode_cpu_ms, salient.kind)


def without(made: Made, section: str) -> Made | None:
    """The same bundle without one of its sections (`edges`, `prompt`, `salient`, …); None when it has none."""
    if made.bundle is None or getattr(made.bundle, section) is None:
        return None
    bundle = replace(made.bundle, **{section: None})  # type: ignore[arg-type]
    return _made(f"{made.mode} without {section}", bundle, made.encode_cpu_ms, made.kind)


def _made(mode: str, bundle: Bundle, spent_ms: float, kind: str) -> Made:
    body = pack(bundle)
    return Made(mode, bundle, len(body), dict(describe(body)), spent_ms, "", kind)
