"""How much smaller text gets on the link: the far end's own coding of each file of some sites, against gzip.

In: a folder of sites. Out: a table by kind on standard output, and JSON. Refuses: a body that does not come back as it
was (`AssertionError`).

    python -m evaluation.linkbench.text --sites ../shared/sites --json text.json

Files under 200 B and those that do not compress cross as they are, and count as that in every column. gzip is level 6,
what most servers use. Heads and framing are not in it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter
from pathlib import Path

from proxy.link import text
from proxy.link.recoding import FarText, NearText
from proxy.link.text import Recode, Restored

SUFFIXES = (".html", ".css", ".js", ".json", ".svg", ".txt", ".xml")
CHUNK_BYTES = 65_536


def crossed(body: bytes, dictionary: bool) -> bytes:
    """The body as the far end would send it, in pieces as they come from a socket."""
    far = FarText(Recode(b"", len(body)), dictionary)
    sent = bytearray()
    for at in range(0, len(body), CHUNK_BYTES):
        for plain in far.plain(body[at : at + CHUNK_BYTES]):
            sent += far.send(plain)
        sent += far.flush()
    return bytes(sent + far.finish())


def check(sent: bytes, body: bytes, dictionary: bool) -> None:
    """The near end gets the same bytes."""
    near = NearText(Restored(dictionary, False, len(body)))
    near.came(sent)
    got = bytearray()
    while near.waits:
        got += near.step()[0]
    assert got == body and near.origin_bytes() == len(body)


def measure(sites: Path) -> dict[str, dict[str, float]]:
    """Bytes by kind."""
    sums: dict[str, Counter[str]] = {}
    cpu_s = 0.0
    for path in sorted(sites.rglob("*")):
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        body = path.read_bytes()
        left = len(body) < text.MIN_BYTES or not text.compresses(body)
        began_s = time.process_time()
        ours = body if left else crossed(body, True)
        cpu_s += time.process_time() - began_s
        if not left:
            check(ours, body, True)
        figures = {
            "files": 1,
            "plain": len(body),
            "gzip": len(body if left else gzip.compress(body, 6)),
            "zstd": len(body if left else crossed(body, False)),
            "link": len(ours),
        }
        for kind in (path.suffix[1:], "all"):
            sums.setdefault(kind, Counter()).update(figures)
    table: dict[str, dict[str, float]] = {}
    for kind, each in sums.items():
        fewer = {
            "fewer_than_plain": 1 - each["link"] / each["plain"],
            "fewer_than_gzip": 1 - each["link"] / each["gzip"],
        }
        table[kind] = {**each, **fewer}
    if "all" in table:
        table["all"]["cpu_ms_per_mb"] = cpu_s * 1e9 / sums["all"]["plain"]
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sites", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table = measure(options.sites)
    print("| kind | files | plain B | gzip B | zstd B | link B | fewer than plain | fewer than gzip |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for kind in sorted(table, key=lambda name: (name == "all", name)):
        each = table[kind]
        counts = " | ".join(f"{each[name]:,.0f}" for name in ("files", "plain", "gzip", "zstd", "link"))
        print(f"| {kind} | {counts} | {each['fewer_than_plain']:.1%} | {each['fewer_than_gzip']:.1%} |")
    if "all" in table:
        print(f"\nfar end: {table['all']['cpu_ms_per_mb']:.0f} ms of processor time per MB of plain text")
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
