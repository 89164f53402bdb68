"""Encodes image files into bundle files, for `sketchwire encode`.

In: image files and where their bundles go. Out: an `Outcome` for each, and the bundle files, written whole or not at
all. Refuses: nothing about an image; what cannot be read or encoded is an outcome that says why.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from proxy.cli.pagewords import PageWords
from proxy.encode import Declined, Encoded, EncodeRequest, encode
from proxy.encode.pool import EncoderPool
from proxy.policy import Reason

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp"})
BUNDLE_SUFFIX = ".swb"
DEADLINE_S = 300.0
FAULTS = frozenset({Reason.BROKEN, Reason.UNSUPPORTED_FORMAT, Reason.CRASHED, Reason.DEADLINE, Reason.INTERNAL_ERROR})
QUALITY_WHEN_SCALED = 90


@dataclass(frozen=True, slots=True)
class Job:
    """An image file, and the bundle file to make of it (None: only say what would be made)."""

    source: Path
    target: Path | None


@dataclass(frozen=True, slots=True)
class Terms:
    """How to encode: a mode, the page's words, the long side to scale images to first (0: leave them), a caption that
    stands for the page's words, and whether faces, text and codes are looked for.
    """

    mode: str = "auto"
    page: PageWords | None = None
    scale_to_px: int = 0
    caption: str | None = None
    detect: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image. `decision` is "bundle", "original" (declined, see `reason`) or "error"."""

    job: Job
    decision: str
    origin_bytes: int
    sent_bytes: int
    mode: str = ""
    kind: str = ""
    reason: str = ""
    detail: str = ""
    words: str | None = None
    width_px: int = 0
    height_px: int = 0
    score: float | None = None
    stage_ms: dict[str, float] = field(default_factory=dict)

    @property
    def saved_percent(self) -> float:
        """The share of the original's bytes that need not be sent; headers are not counted."""
        return 100.0 * (1 - self.sent_bytes / self.origin_bytes) if self.origin_bytes else 0.0

    def as_object(self) -> dict[str, Any]:
        """The outcome for machines."""
        written = self.decision == "bundle" and self.job.target is not None
        return {
            "file": str(self.job.source),
            "output": str(self.job.target) if written else None,
            "decision": self.decision,
            "mode": self.mode or None,
            "kind": self.kind or None,
            "reason": self.reason or None,
            "detail": self.detail or None,
            "words": self.words,
            "width_px": self.width_px or None,
            "height_px": self.height_px or None,
            "origin_bytes": self.origin_bytes,
            "sent_bytes": self.sent_bytes,
            "saved_percent": round(self.saved_percent, 3),
            "score": None if self.score is None else round(self.score, 4),
            "stage_ms": {name: round(value, 2) for name, value in self.stage_ms.items()},
        }


def images_in(folder: Path) -> list[Path]:
    """Image files below a folder by their suffixes, hidden ones left out, in order of their paths."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def jobs(source: Path, output: Path | None) -> list[Job]:
    """What to do for `source`, an image or a folder, whose structure is kept.

    Images whose names differ only in the suffix keep it in the bundle's name.
    """
    if not source.is_dir():
        if output is not None and output.is_dir():
            output = output / f"{source.stem}{BUNDLE_SUFFIX}"
        return [Job(source, output)]
    images = images_in(source)
    if output is None:
        return [Job(image, None) for image in images]
    stems = [image.with_suffix("") for image in images]
    double = {stem for stem in stems if stems.count(stem) > 1}
    targets = []
    for image in images:
        relative = image.relative_to(source)
        name = f"{relative.name if image.with_suffix('') in double else relative.stem}{BUNDLE_SUFFIX}"
        targets.append(Job(image, output / relative.with_name(name)))
    return targets


def encode_here(job: Job, terms: Terms) -> Outcome:
    """Encode one image in this process."""
    request = _request(job, terms)
    return request if isinstance(request, Outcome) else _outcome(job, request, encode(request))


async def encode_many(work: Iterable[Job], terms: Terms, workers: int) -> AsyncIterator[Outcome]:
    """Encode images in processes of their own; outcomes come as they are done, files are read in turn."""
    todo = iter(work)
    async with EncoderPool(workers, DEADLINE_S, queue=1) as pool:

        async def one(job: Job) -> Outcome:
            request = await asyncio.to_thread(_request, job, terms)
            if isinstance(request, Outcome):
                return request
            return await asyncio.to_thread(_outcome, job, request, await pool.encode(request))

        running = {asyncio.create_task(one(job)) for job in islice(todo, workers)}
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for job in islice(todo, len(done)):
                running.add(asyncio.create_task(one(job)))
            for task in done:
                yield task.result()


def _request(job: Job, terms: Terms) -> EncodeRequest | Outcome:
    try:
        data = job.source.read_bytes()
    except OSError as error:
        return Outcome(job, "error", 0, 0, reason="unreadable", detail=error.strerror or str(error))
    if terms.scale_to_px:
        try:
            data = scaled(data, terms.scale_to_px)
        except Exception as error:  # decoders raise many types on damaged files
            reason, detail = Reason.BROKEN.value, f"cannot be scaled: {error}"
            return Outcome(job, "error", len(data), len(data), reason=reason, detail=detail)
    words = terms.caption or (terms.page.words_for(job.source) if terms.page else None)
    logo = terms.page.says_logo(job.source) if terms.page else False
    return EncodeRequest(data, mode=terms.mode, words=words, detect=terms.detect, logo=logo)


def scaled(data: bytes, long_side_px: int) -> bytes:
    """The image with its long side at most `long_side_px`, in a file of the same format."""
    with Image.open(io.BytesIO(data)) as image:
        if max(image.size) <= long_side_px:
            return data
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "P":
            upright = upright.convert("RGBA" if "transparency" in upright.info else "RGB")
        upright.thumbnail((long_side_px, long_side_px), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        upright.save(out, image.format, quality=QUALITY_WHEN_SCALED, icc_profile=image.info.get("icc_profile"))
        return out.getvalue()


def _outcome(job: Job, request: EncodeRequest, answer: Encoded | Declined) -> Outcome:
    size, stages = len(request.data), dict(answer.stage_ms)
    if isinstance(answer, Declined):
        decision = "error" if answer.reason in FAULTS else "original"
        return Outcome(
            job,
            decision,
            size,
            size,
            kind=answer.kind,
            reason=answer.reason.value,
            detail=answer.detail,
            words=request.words,
            stage_ms=stages,
        )
    outcome = Outcome(
        job,
        "bundle",
        size,
        len(answer.body),
        mode=answer.mode,
        kind=answer.kind,
        words=request.words,
        width_px=answer.width_px,
        height_px=answer.height_px,
        score=answer.score,
        stage_ms=stages,
    )
    if job.target is not None:
        try:
            write_whole(job.target, answer.body)
        except OSError as error:
            detail = f"{job.target}: {error.strerror}"
            return Outcome(job, "error", size, size, reason="unwritable", detail=detail)
    return outcome


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step, making its folder if need be. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
