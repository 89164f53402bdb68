"""Trains the dictionary with which text crosses the link, on public text that a Debian machine with our venv has.

In: the sources below, as far as they are installed. Out: `proxy/link/text.dict`, and a table of what it was trained on.
Refuses: to write a dictionary of fewer than `MIN_SOURCES` sources.

    python -m evaluation.linkbench.train_dictionary [--out proxy/link/text.dict]

Nothing of a user, and no page of a measured site, is in it. docs/link.md lists sources and licences. Each source gives
`SOURCE_BYTES` at most, so that none of them is all there is; files are cut into pieces as large as a small page. Our
own `phrases.txt`, what most sites have in common, stands at the end, where references to it are shortest.
"""

from __future__ import annotations

import argparse
import random
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

VENV = Path(sysconfig.get_paths()["purelib"])
DEBIAN = Path("/usr/share")
PHRASES = Path(__file__).parent / "phrases.txt"
OUT = Path(__file__).parents[2] / "proxy" / "link" / "text.dict"
DICTIONARY_BYTES = 111_000
SOURCE_BYTES = 700_000
PIECE_BYTES = 6_000
MIN_SOURCES = 8
SEED = 7
SUFFIXES = frozenset((".html", ".css", ".js", ".svg", ".json"))


@dataclass(frozen=True, slots=True)
class Source:
    """Public text: where it lies, under which licence; `glob` names its files."""

    name: str
    licence: str
    folder: Path
    glob: str = "**/*"


SOURCES = (
    Source("matplotlib, web backend and icons", "PSF-like", VENV / "matplotlib"),
    Source("mitmproxy, web interface (with Bootstrap 3)", "MIT", VENV / "mitmproxy"),
    Source("Ray, dashboard", "Apache-2.0", VENV / "ray" / "dashboard"),
    Source("scikit-learn, displays", "BSD-3-Clause", VENV / "sklearn"),
    Source("Werkzeug, debugger", "BSD-3-Clause", VENV / "werkzeug"),
    Source("Node.js, documentation", "MIT", DEBIAN / "doc" / "nodejs" / "api", "*.html"),
    Source("Bootstrap 4, styles and scripts", "MIT", DEBIAN / "javascript" / "bootstrap4", "**/*.min.*"),
    Source("Bootstrap 4, example pages", "MIT", DEBIAN / "doc" / "libjs-bootstrap4" / "examples"),
    Source("jQuery 3", "MIT", DEBIAN / "javascript" / "jquery", "jquery.min.js"),
    Source("Moment", "MIT", DEBIAN / "javascript" / "moment", "moment.min.js"),
    Source("D3", "BSD-3-Clause", DEBIAN / "javascript" / "d3", "d3.min.js"),
    Source("Rickshaw, example pages", "MIT", DEBIAN / "doc" / "libjs-rickshaw" / "examples"),
    Source("libffi, manual", "MIT", DEBIAN / "doc" / "libffi8" / "html"),
    Source("Prometheus, consoles", "Apache-2.0", DEBIAN / "prometheus" / "web"),
)


def pieces(source: Source, chance: random.Random) -> Iterator[bytes]:
    """Pieces of a source's files, in random order, until it gave its share."""
    found = [path for path in sorted(source.folder.glob(source.glob)) if path.is_file() and path.suffix in SUFFIXES]
    cut: list[bytes] = []
    for path in found:
        data = path.read_bytes()[: 4 * SOURCE_BYTES]
        cut += [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]
    chance.shuffle(cut)
    given = 0
    for piece in cut:
        if given >= SOURCE_BYTES:
            return
        given += len(piece)
        yield piece


def train() -> tuple[bytes, list[tuple[Source, int]]]:
    """The dictionary, and how many bytes of each source it was trained on."""
    chance = random.Random(SEED)
    samples: list[bytes | bytearray | memoryview[int]] = []
    told: list[tuple[Source, int]] = []
    for source in SOURCES:
        mine = list(pieces(source, chance))
        told.append((source, sum(map(len, mine))))
        samples.extend(mine)
    if sum(count > 0 for _, count in told) < MIN_SOURCES:
        raise SystemExit("too few of the sources are installed; install the venv and Debian's web libraries")
    phrases = PHRASES.read_bytes()
    made = zstandard.train_dictionary(DICTIONARY_BYTES - len(phrases), samples, k=512, d=8, level=9)
    return made.as_bytes() + phrases, told


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    data, told = train()
    options.out.write_bytes(data)
    for source, count in told:
        print(f"{count:>9,} B  {source.name} ({source.licence})")
    print(f"{len(data):>9,} B  {options.out.name}")


if __name__ == "__main__":
    main()
