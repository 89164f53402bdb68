"""One bundle becomes the image that the browser gets: the downstream proxy's work between two heads.

In: a bundle, the words this side holds for it, and what the browser accepts. Out: `Restored`, or `Failed` when only the
original will do. Refuses: bundles that don't unpack, and pictures of another size than the original's.

The runtime is asked first, within the deadline; then the preview is drawn here, if the bundle has pixels for one.
A preview stands in for a better picture and is marked `degraded`, unless this proxy has no runtime at all.
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from dataclasses import dataclass

from PIL import Image

from proxy import bare
from proxy.breaker import Breaker
from proxy.bundle import Bundle, BundleError, unpack
from proxy.bundle.imagefile import best_media_type, encode_image
from proxy.bundle.preview import render
from proxy.bundle.provenance import field_value, provenance_of, xmp_packet
from proxy.config import DownstreamConfig
from proxy.negotiation import NO_ENGINE
from proxy.policy import Reason
from proxy.runtime_client import (
    ReconstructionError,
    Runtime,
    RuntimeBusy,
    RuntimeCapabilities,
    RuntimeRefused,
    RuntimeTimeout,
)
from proxy.transcode import needed, transcode

logger = logging.getLogger("sketchwire.restore")

WATCH_EVERY_S = 5.0
PREVIEWS_AT_ONCE = 2
_REASONS: tuple[tuple[type[ReconstructionError], Reason], ...] = (
    (RuntimeBusy, Reason.BUSY),
    (RuntimeTimeout, Reason.DEADLINE),
    (RuntimeRefused, Reason.RUNTIME),
)


@dataclass(frozen=True, slots=True)
class Restored:
    """An image file for the browser; `reason` says why it is degraded, if it is."""

    body: bytes
    media_type: str
    width_px: int
    height_px: int
    engine: str
    degraded: bool = False
    reason: Reason | None = None
    cache_hit: bool = False
    queue_ms: float | None = None
    reconstruct_ms: float | None = None
    provenance: str = ""  # the value of Sketchwire-Provenance


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing can be shown of this bundle; the original has to be fetched."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What this side can draw now: `engine` as id@hash8; no `modes` means every mode."""

    engine: str
    modes: tuple[str, ...] = ()
    tier: str = ""


class Restorer:
    """Restores images with `runtime` (None: with previews only). `watch` keeps its offer up to date."""

    def __init__(self, config: DownstreamConfig, runtime: Runtime | None) -> None:
        self._config = config
        self._runtime = runtime
        self._breaker = Breaker()
        self._drawing = asyncio.Semaphore(PREVIEWS_AT_ONCE)
        self._capabilities: RuntimeCapabilities | None = None

    def configure(self, config: DownstreamConfig) -> None:
        """Work on other terms from now on."""
        self._config = config

    @property
    def offer(self) -> Offer:
        """What to tell upstream with the next request."""
        if self._capabilities is None:
            return Offer(NO_ENGINE, self._config.modes, self._config.tier)
        can = self._capabilities.modes
        return Offer(
            self._capabilities.label,
            tuple(mode for mode in self._config.modes if not can or mode in can),
            self._config.tier,
        )

    async def refresh(self) -> None:
        """Ask the runtime what it can do."""
        self._capabilities = await self._runtime.capabilities() if self._runtime else None

    async def watch(self) -> None:
        """Keep the offer up to date until cancelled."""
        while self._runtime is not None:
            await self.refresh()
            await asyncio.sleep(WATCH_EVERY_S)

    async def restore(
        self, data: bytes, words: str | None, accept: str, original_type: str, client: str
    ) -> Restored | Failed:
        """The image of the bundle `data`. `accept` is the browser's; `words` are what this side holds for the image."""
        try:
            bundle = unpack(data)
        except BundleError as error:
            return Failed(Reason.BROKEN, str(error))
        media_type = best_media_type(accept, original_type, bundle.width_px, bundle.height_px)
        made = await self._ask_runtime(data, bundle, words, media_type, client)
        if isinstance(made, Restored):
            return made
        if bundle.thumbnail is None and bundle.palette is None:
            return Failed(made.reason, made.detail)
        try:
            async with self._drawing:
                body = await asyncio.to_thread(_preview, bundle, media_type, self._config.output_quality)
        except Exception as error:  # decoders raise many types; the original is still there
            return Failed(Reason.BROKEN, f"{type(error).__name__}: {error}")
        degraded = self._runtime is not None
        reason = made.reason if degraded else None
        size = (bundle.width_px, bundle.height_px)
        told = field_value(provenance_of(bundle, NO_ENGINE))
        return Restored(body, media_type, *size, NO_ENGINE, degraded, reason, provenance=told)

    async def recode(self, body: bytes, media_type: str, accept: str, original_type: str) -> tuple[bytes, str] | Failed:
        """(a classical file, or a bare one, as a file that the browser shows, its media type)."""
        try:
            body, media_type = bare.arrived(body, media_type)
            if not needed(media_type, accept):
                return body, media_type
            async with self._drawing:
                return await asyncio.to_thread(transcode, body, accept, original_type, self._config.output_quality)
        except ValueError as error:
            return Failed(Reason.BROKEN, str(error))

    async def _ask_runtime(
        self, data: bytes, bundle: Bundle, words: str | None, media_type: str, client: str
    ) -> Restored | Failed:
        if self._runtime is None:
            return Failed(Reason.RUNTIME, "there is no runtime")
        if not self._breaker.allows(time.monotonic()):
            return Failed(Reason.BREAKER_OPEN)
        page_words = bundle.prompt is not None and bundle.prompt.text is None
        prompt = words if page_words else bundle.prompt.text if bundle.prompt else None
        try:
            made = await self._runtime.reconstruct(
                data,
                prompt,
                media_type,
                self._config.reconstruct_deadline_s,
                quality=self._config.output_quality,
                client=client if prompt else None,
            )
        except ReconstructionError as error:
            reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), Reason.RUNTIME)
            if isinstance(error, RuntimeBusy | RuntimeRefused):
                self._breaker.succeeded()
            else:
                self._breaker.failed(time.monotonic())
            logger.warning("no picture from the runtime: %s", error)
            return Failed(reason)
        self._breaker.succeeded()
        if _size(made.body) != (bundle.width_px, bundle.height_px):
            logger.warning("the runtime drew another size than %d×%d", bundle.width_px, bundle.height_px)
            return Failed(Reason.RUNTIME, "a picture of another size")
        degraded = made.fallback is not None
        return Restored(
            made.body,
            made.media_type,
            bundle.width_px,
            bundle.height_px,
            made.engine,
            degraded,
            Reason.RUNTIME if degraded else None,
            made.cache_hit,
            made.queue_ms,
            made.reconstruct_ms,
            field_value(provenance_of(bundle, made.engine)),
        )


def _preview(bundle: Bundle, media_type: str, quality: int) -> bytes:
    return encode_image(render(bundle), media_type, quality, xmp_packet(provenance_of(bundle, NO_ENGINE)))


def _size(file: bytes) -> tuple[int, int] | None:
    """An image file's size from its head, without decoding it."""
    try:
        with Image.open(io.BytesIO(file)) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
