"""The layers: who may import whom, proved on every import there is, also in functions and for type checkers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("proxy", "addons", "client_runtime", "evaluation")
HEAVY = ("torch", "diffusers")
DRAWING = (
    "client_runtime/engines/sketch/",
    "client_runtime/engines/diffusion/",
    "client_runtime/training/",
    "client_runtime/bench/",
)


def imports_of(source: str, module: str, is_package: bool = False) -> set[str]:
    """Dotted names of everything `source` may import; "a.b" for `from a import b`, for b may be a module."""
    package = module if is_package else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__", "find_spec"):
            argument = node.args[0] if node.args else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found.add(argument.value)
    return found


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def files() -> Iterator[Path]:
    for folder in OURS:
        yield from (path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def complaint(file: str, imported: str) -> str | None:
    """Why the file (relative to the root) may not import `imported`; None when it may."""
    layer, top = file.split("/")[0], imported.partition(".")[0]
    training = file.startswith("client_runtime/training/")
    if top in HEAVY and layer == "client_runtime" and not file.startswith(DRAWING):
        return "torch and diffusers stay inside engines/sketch, engines/diffusion, training and bench"
    if top in HEAVY and layer in ("proxy", "addons"):
        return "the proxies never import torch or diffusers"
    if top == "mitmproxy" and layer in ("proxy", "client_runtime"):
        return "only addons import mitmproxy"
    if top not in OURS or top == layer or layer == "evaluation":
        return None
    if layer == "proxy":
        return "proxy imports nothing of ours but itself"
    if layer == "addons":
        return None if top == "proxy" else "addons import only proxy"
    allowed = ("proxy.bundle", "proxy.config", "proxy.shared", *(("proxy.encode",) if training else ()))
    if imported == "proxy" or any(imported == name or imported.startswith(f"{name}.") for name in allowed):
        return None  # `from proxy import …` is judged by what it names
    return f"client_runtime imports only {', '.join(allowed)}"


@pytest.mark.parametrize("layer", OURS)
def test_layer(layer: str) -> None:
    broken = []
    for path in files():
        file = path.relative_to(ROOT).as_posix()
        if not file.startswith(f"{layer}/"):
            continue
        is_package = path.name == "__init__.py"
        module = file.removesuffix("/__init__.py" if is_package else ".py").replace("/", ".")
        for imported in sorted(imports_of(path.read_text(encoding="utf-8"), module, is_package)):
            reason = complaint(file, imported)
            if reason:
                broken.append(f"{file} imports {imported}: {reason}")
    assert not broken, "\n".join(broken)


def test_there_is_something_to_check() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in files()}
    assert {"proxy/config.py", "client_runtime/engines/base.py", "addons/commands.py"} <= names


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch.nn", "torch.nn"),
        ("from proxy import encode", "proxy.encode"),
        ("def f():\n    from addons.run import run_upstream", "addons.run"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mitmproxy.http", "mitmproxy.http"),
        ("try:\n    import diffusers\nexcept ImportError:\n    pass", "diffusers"),
        ("from . import model", "proxy.bundle.model"),
        ("from ..encode import pool", "proxy.encode.pool"),
        ("import importlib\nimportlib.import_module('torch')", "torch"),
    ],
)
def test_every_way_to_import_is_seen(source: str, expected: str) -> None:
    assert expected in imports_of(source, "proxy.bundle.container")


def test_relative_imports_in_a_package_file() -> None:
    assert "proxy.bundle.model" in imports_of("from .model import Bundle", "proxy.bundle", is_package=True)


@pytest.mark.parametrize(
    ("file", "imported", "allowed"),
    [
        ("proxy/bundle/pixels.py", "proxy.bundle.model", True),
        ("proxy/cli/up.py", "addons.run", False),
        ("proxy/encode/pool.py", "mitmproxy.http", False),
        ("proxy/encode/pool.py", "torch", False),
        ("addons/run.py", "mitmproxy.options", True),
        ("addons/run.py", "proxy.config", True),
        ("addons/run.py", "client_runtime.engines", False),
        ("addons/run.py", "torch", False),
        ("client_runtime/service/api.py", "proxy.bundle", True),
        ("client_runtime/service/api.py", "proxy.config", True),
        ("client_runtime/service/api.py", "proxy.configuration", False),
        ("client_runtime/service/api.py", "proxy.encode", False),
        ("client_runtime/service/api.py", "torch", False),
        ("client_runtime/engines/base.py", "torch", False),
        ("client_runtime/engines/sketch/model.py", "torch.nn", True),
        ("client_runtime/training/train.py", "proxy.encode", True),
        ("client_runtime/training/train.py", "proxy.ledger", False),
        ("client_runtime/training/train.py", "mitmproxy", False),
        ("evaluation/tables.py", "client_runtime.engines", True),
        ("evaluation/tables.py", "torch", True),
    ],
)
def test_the_rules_themselves(file: str, imported: str, allowed: bool) -> None:
    assert (complaint(file, imported) is None) is allowed
