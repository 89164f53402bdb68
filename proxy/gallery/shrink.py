"""Makes a stranger's picture small, in a process of its own.

In: an image file. Out: a WebP file of at most 320 px a side, without metadata. Refuses: what Pillow cannot decode
within 512 MiB and five seconds of CPU (`ValueError`).

A decoder that a hostile file breaks takes a process with it that holds nothing else.
"""

from __future__ import annotations

import asyncio
import io
import resource
import sys
from pathlib import Path

SIDE_PX = 320
QUALITY = 70
MEMORY_BYTES = 512 * 1024 * 1024
CPU_S, WALL_S = 5, 30.0


async def shrunk(file: bytes) -> bytes:
    """The small WebP file of an image. Raises ValueError, OSError when no process can be started."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(Path(__file__)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(WALL_S):
            made, _ = await process.communicate(file)
    except TimeoutError as error:
        raise ValueError("the picture takes too long to decode") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0 or made[8:12] != b"WEBP":
        raise ValueError(f"the picture cannot be decoded (exit status {process.returncode})")
    return made


def small(file: bytes, side_px: int = SIDE_PX) -> bytes:
    """The same here, for pictures of our own. Raises OSError, ValueError or whatever else a decoder raises."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(file)) as opened:
        opened.draft("RGB", (2 * side_px, 2 * side_px))
        image = ImageOps.exif_transpose(opened).convert("RGBA" if "A" in opened.getbands() else "RGB")
    image.thumbnail((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=3.0)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=QUALITY, method=4)
    return out.getvalue()


def main() -> None:
    """Standard input to standard output, within the limits."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    sys.stdout.buffer.write(small(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
