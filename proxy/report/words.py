"""Our short codes in plain words.

In: decisions, reasons, stages as the ledger has them. Out: what they mean. Refuses nothing; an unknown code is itself.
"""

from __future__ import annotations

DECISIONS = {
    "reconstructed": "drawn again",
    "preview": "shown as a preview",
    "recoded": "sent as a smaller file",
    "skipped": "image passed as it came",
    "original": "original sent after all",
    "passed": "not an image",
    "cached": "answered without the link",
    "tunnelled": "sealed connection, not opened",
    "overhead": "connections: handshakes, farewells",
    "error": "failed",
}
REASONS = {
    "method": "not a plain request (POST, upgrade)",
    "head": "only its headers were asked for",
    "status": "not a complete answer (redirect, error)",
    "not-image": "not an image",
    "no-transform": "site or browser forbids changes",
    "range": "only a part was asked for",
    "private": "private: cookies or sign-in",
    "fetch-dest": "not asked for as an image",
    "fetch-mode": "scripts may read its pixels",
    "not-asked": "nobody asked for bundles",
    "too-small": "too small to gain",
    "too-large": "over the size limit",
    "too-many-pixels": "over the pixel limit",
    "tracking-pixel": "tracking pixel",
    "unknown-coding": "unknown content coding",
    "not-an-image-body": "claims to be an image, is none",
    "svg": "vector drawing",
    "animated": "animated",
    "alpha": "transparent",
    "broken": "damaged",
    "incomplete": "incomplete",
    "unsupported-format": "format we do not read",
    "kind": "must stay real: text, chart, screenshot",
    "no-gain": "nothing smaller was good enough",
    "tier": "the tier allows no change",
    "deadline": "not ready in time",
    "busy": "too much to do at once",
    "crashed": "a worker crashed",
    "loop": "met itself on the way",
    "forced-original": "the user asked for the original",
    "not-modified": "the browser had it already",
    "cached": "kept here, and still fresh",
    "stale": "kept here, shown though no longer fresh",
    "foreign-bundle": "a bundle that was not ours",
    "breaker-open": "resting after failures",
    "runtime": "the drawing service failed",
    "unreachable": "the other side could not be reached",
    "internal-error": "a defect of ours",
    "aborted": "ended before it was complete",
}
STAGES = {
    "origin_ms": "waiting for the site",
    "encode_ms": "encoding",
    "link_ms": "crossing the link",
    "queue_ms": "waiting to be drawn",
    "reconstruct_ms": "drawing",
    "total_ms": "altogether",
}
SAVING = frozenset(("reconstructed", "preview", "recoded", "cached"))


def decision(code: str) -> str:
    """What was decided."""
    return DECISIONS.get(code, code)


def why(code: str, reason: str) -> str:
    """What was decided and why, in a few words."""
    return f"{decision(code)}: {REASONS.get(reason, reason)}" if reason else decision(code)


def stage(name: str) -> str:
    """A stage's name."""
    return STAGES.get(name, name.removesuffix("_ms"))
