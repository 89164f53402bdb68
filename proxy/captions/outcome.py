"""What becomes of one image that is to be captioned.

In: nothing. Out: `Caption`, or `NoCaption` with a `Refusal`: plain values. Refuses: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Refusal(StrEnum):
    """Why there is no caption: stable codes for logs and reports."""

    FACES = "faces"  # people in it, and allow_faces is off
    UNSEARCHED = "unsearched"  # no detector of faces here, and allow_faces is off
    KIND = "kind"  # a screenshot, a chart, text…: never drawn, so never described
    UNREADABLE = "unreadable"
    RATE = "rate"
    BUDGET = "budget"
    PAUSED = "paused"  # the server failed several times in a row
    TIMEOUT = "timeout"
    SERVER = "server"  # an error status, or no connection
    MALFORMED = "malformed"  # an answer that is no caption
    UNSAFE = "unsafe"  # a caption with instructions, markup or addresses in it


@dataclass(frozen=True, slots=True)
class Spent:
    """What the requests for one caption cost; `money` is in the currency of the configured prices. A cached caption
    costs nothing.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    money: float = 0.0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Caption:
    """What the image shows, in plain words; `cached` when no request was made for it."""

    text: str
    spent: Spent = Spent()
    cached: bool = False
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class NoCaption:
    """Why not; `detail` is for people and never holds a key, an address or words from the page or the server."""

    refusal: Refusal
    detail: str = ""
    spent: Spent = Spent()
