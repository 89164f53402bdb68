"""Draws again what was sent instead of a picture, for a report.

In: pairs of a gallery, and the address of a runtime, if there is one. Out: `Example`s, both sides small WebP files of
the same shape. Refuses nothing: a bundle that the runtime does not draw in time is drawn without a model, and one that
does not unpack is left out.

Words of a page that went into a picture are not kept, so a picture drawn again may differ from the one that was shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.bundle import MEDIA_TYPE, BundleError, unpack
from proxy.bundle.imagefile import encode_image
from proxy.bundle.preview import render
from proxy.gallery.shelf import Facts, Pair
from proxy.gallery.shrink import small
from proxy.negotiation import NO_ENGINE
from proxy.runtime_client import ReconstructionError, RuntimeClient

logger = logging.getLogger(__name__)

DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Example:
    """A pair to look at; `engine` drew the second picture (`NO_ENGINE`: no model did), empty for a smaller file."""

    facts: Facts
    before: bytes
    after: bytes
    engine: str = ""


def extremes(pairs: Sequence[Pair], most: int) -> tuple[Sequence[Pair], Sequence[Pair]]:
    """The worst, worst first, and the best, best first, of pairs in order of quality; none is both."""
    count = min(most, -(-len(pairs) // 2))
    return pairs[:count], list(reversed(pairs[count:][-most:]))


def drawn(pairs: Sequence[Pair], runtime_url: str = "") -> tuple[Example, ...]:
    """The pairs with their second pictures; takes up to 20 s each."""
    return asyncio.run(_drawn(pairs, runtime_url))


async def _drawn(pairs: Sequence[Pair], runtime_url: str) -> tuple[Example, ...]:
    async with contextlib.AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(RuntimeClient(runtime_url)) if runtime_url else None
        there = runtime is not None and await runtime.capabilities() is not None
        made = [await _one(pair, runtime if there else None) for pair in pairs]
    return tuple(one for one in made if one is not None)


async def _one(pair: Pair, runtime: RuntimeClient | None) -> Example | None:
    try:
        if pair.facts.media_type != MEDIA_TYPE:
            return Example(pair.facts, pair.before, await asyncio.to_thread(small, pair.sent))
        bundle = unpack(pair.sent)
        if runtime is not None:
            try:
                prompt = bundle.prompt.text if bundle.prompt else None
                made = await runtime.reconstruct(pair.sent, prompt, "image/webp", DEADLINE_S)
                return Example(pair.facts, pair.before, await asyncio.to_thread(small, made.body), made.engine)
            except ReconstructionError as error:
                logger.warning("an example is drawn without a model: %s", error)
        preview = await asyncio.to_thread(lambda: small(encode_image(render(bundle), "image/png")))
        return Example(pair.facts, pair.before, preview, NO_ENGINE)
    except (BundleError, OSError, ValueError) as error:
        logger.warning("an example is left out: %s", error)
        return None
