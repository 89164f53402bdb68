"""Bundle files to image files.

In: a .swb file and where its image goes. Out: the image file, and a `Record` of how it was made. Refuses: broken
bundles (`BundleError`), pictures that no engine could draw (`DecodeFailed`), file types it cannot write.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from client_runtime import engines, remote
from client_runtime.engines.base import EngineUnavailable, Task
from client_runtime.service.ask import BadAsk, fitting
from client_runtime.service.draw import Drawn, Refused, draw
from client_runtime.service.work import check_size
from proxy.bundle import Bundle, unpack
from proxy.bundle.imagefile import encode_image
from proxy.bundle.provenance import provenance_of, xmp_packet
from proxy.config import RuntimeConfig

BUNDLE_SUFFIX = ".swb"
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}

# (bundle, its bytes, media type) → (image file, engine label, why it was a fallback)
Draw = Callable[[Bundle, bytes, str], tuple[bytes, str, str | None]]


class DecodeFailed(RuntimeError):
    """The bundle is sound, but its picture could not be drawn or written; the message says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """How one image file was made. `fallback` is None when the engine asked for drew it."""

    file: str
    output: str
    width_px: int
    height_px: int
    bytes_in: int
    bytes_out: int
    engine: str
    fallback: str | None
    decode_ms: float


def outputs(source: Path, target: Path, suffix: str) -> list[tuple[Path, Path]]:
    """(bundle, image) pairs: `source` and `target` themselves, or those of a folder, named alike with `suffix`."""
    if not source.is_dir():
        return [(source, target)]
    return [(file, target / f"{file.stem}{suffix}") for file in sorted(source.glob(f"*{BUNDLE_SUFFIX}"))]


def decode(source: Path, target: Path, draw_file: Draw) -> Record:
    """Make the image file `target`, whole or not at all. Raises BundleError, DecodeFailed, RemoteFailed and OSError."""
    began_s = time.perf_counter()
    data = source.read_bytes()
    bundle = unpack(data)
    media_type = MEDIA_TYPES[target.suffix.lower()]
    try:
        fitting((media_type,), bundle.width_px, bundle.height_px)
    except BadAsk as error:
        raise DecodeFailed(f"{error}; write a .png instead") from error
    body, engine, fallback = draw_file(bundle, data, media_type)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(body)
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    ms = round((time.perf_counter() - began_s) * 1000, 1)
    size = (bundle.width_px, bundle.height_px)
    return Record(str(source), str(target), *size, len(data), len(body), engine, fallback, ms)


@contextlib.contextmanager
def in_process(
    config: RuntimeConfig, prompt: str | None, quality: int, tell: Callable[[str], None] = lambda message: None
) -> Iterator[Draw]:
    """Draws with the engine of `config` in this process, or the next one down when its weights are missing.

    `tell` hears of that, and of what to do about it. Raises EngineUnavailable.
    """
    missing: engines.Missing | None = None
    try:
        top = engines.create(config)
    except EngineUnavailable as error:
        top, missing = engines.instead_of(config, error)
        tell(missing.message)
    rungs = engines.ladder(top, config)

    def draw_file(bundle: Bundle, data: bytes, media_type: str) -> tuple[bytes, str, str | None]:
        check_size(bundle, config.max_pixels)
        task = Task(bundle, prompt or (bundle.prompt.text if bundle.prompt else None))
        [outcome] = draw(rungs, [task])
        if isinstance(outcome, Refused):
            raise outcome.error
        if not isinstance(outcome, Drawn):
            raise DecodeFailed(f"the engine failed: {outcome.reason}")
        reason = outcome.fallback or (missing.reason if missing else None)
        fallback = reason.value if reason else None
        told = xmp_packet(provenance_of(bundle, outcome.engine))
        return encode_image(outcome.image, media_type, quality, told), outcome.engine, fallback

    try:
        yield draw_file
    finally:
        for engine in rungs:
            engine.close()


@contextlib.contextmanager
def at_runtime(url: str, prompt: str | None, quality: int, deadline_s: float) -> Iterator[Draw]:
    """Draws at the runtime at `url`."""

    def draw_file(bundle: Bundle, data: bytes, media_type: str) -> tuple[bytes, str, str | None]:
        image = remote.reconstruct(url, data, prompt, media_type, quality, deadline_s)
        return image.body, image.engine, image.fallback

    yield draw_file
