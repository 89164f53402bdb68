"""Damages a page's markup and headers, and reads them as `evaluate collect` does: any exception is a finding.

`python tests/fuzz/fuzz_collect.py [COUNT] [SEED]` prints how many pages had images and how many were refused.
"""

import random
import sys
import time

from evaluation.collect.gate import Stay
from evaluation.collect.pictures import read

PIECES = (
    b"<figure>", b"</figure>", b'<img src="', b'<img srcset="a 1w, b 9x, ', b'">', b"<figcaption>", b"<base href=",
    b"//[::1", b'<a rel="license" href="', b'<script type="application/ld+json">', b"[" * 300, b"</script>",
    b'{"@type":"ImageObject","contentUrl":', b'<meta name="robots" content=', b"noindex", b"\xff\xfe", b"\0",
    b"&#x110000;", b"<!--", b"data:image/png,", b' width="', b"99999", b"px", b"http://\xc3\xa4:99999/", b"<noscript>",
    b"<template>", b"text", b" ", b"'", b'"',
)  # fmt: skip
TYPES = ("text/html", "text/html; charset=utf-16", "text/html; charset=nonsense", "")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    chance = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    with_images = refused = 0
    start = time.monotonic()
    for _ in range(count):
        body = b"".join(chance.choice(PIECES) for _ in range(chance.randrange(1, 60)))
        headers = {"content-type": chance.choice(TYPES), "link": body[:200].decode("latin-1")}
        try:
            page = read(body, "https://example.org/a/", headers)
        except Exception:
            print(f"finding: {body!r} {headers!r}")
            raise
        refused += isinstance(page, Stay)
        with_images += not isinstance(page, Stay) and bool(page.pictures)
    print(f"{count} pages in {time.monotonic() - start:.1f} s: {with_images} with images, {refused} refused")


if __name__ == "__main__":
    main()
