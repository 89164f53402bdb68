"""Configuration: one TOML file with a table per role becomes one frozen, validated object per role.

In: a path (or nothing, for the defaults) and overrides. Out: `Config`. Refuses: unknown tables and keys (naming the
nearest known one), wrong types and values out of range, each with the file and key at fault (`ConfigError`).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")
KIB, MIB = 1024, 1024 * 1024
MODES = ("auto", "prompt", "edges", "edges+palette", "thumbnail", "salient")
LOOPBACK = "127.0.0.1"


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which key of which file, and what to write instead."""


def _option(default: Any, doc: str, check: Callable[[Any], str | None] | None = None) -> Any:
    """A documented field. `check` returns what is wrong with a value, or None."""
    return field(default=default, metadata={"doc": doc, "check": check})


def _at_least(low: float) -> Callable[[Any], str | None]:
    return lambda v: None if v >= low else f"must be at least {low:g}"


def _port(v: int) -> str | None:
    return None if 0 <= v <= 65_535 else "must be a port number, 0 to 65535 (0 picks a free one)"


def _one_of(*allowed: str) -> Callable[[Any], str | None]:
    return lambda v: None if v in allowed else f"must be one of {', '.join(allowed)}"


def _percent(v: int) -> str | None:
    return None if 1 <= v <= 100 else "must be 1 to 100"


def _modes(v: tuple[str, ...]) -> str | None:
    wrong = [mode for mode in v if mode not in MODES[1:]]
    return f"knows {', '.join(MODES[1:])}, not {wrong[0]!r}" if wrong else None


def _url(v: str) -> str | None:
    return None if v == "" or v.startswith(("http://", "https://")) else "must start with http:// or https://"


def _host_ports(v: tuple[str, ...]) -> str | None:
    wrong = [item for item in v if not item.rpartition(":")[2].isdigit() or not item.rpartition(":")[0]]
    return f"must be exact host:port pairs, not {wrong[0]!r}" if wrong else None


def _pairs(v: tuple[str, ...]) -> str | None:
    wrong = [item for item in v if not all(item.partition("=")[::2])]
    return f"must be name=address pairs, not {wrong[0]!r}" if wrong else None


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """The proxy in the data centre: it fetches from origins and sends bundles."""

    listen_host: str = _option(LOOPBACK, "Address to listen on.")
    listen_port: int = _option(8081, "Port to listen on.", _port)
    state_dir: str = _option(
        "~/.sketchwire/upstream", "Folder for the certificate authority and the ledger; made 0700."
    )
    mode: str = _option("auto", "What to send: auto chooses; the others force one bundle mode.", _one_of(*MODES))
    encode_workers: int = _option(2, "Processes that encode images.", _at_least(1))
    encode_deadline_s: float = _option(
        4.0, "Seconds an image may take to encode; after that it passes unchanged.", _at_least(0.05)
    )
    encode_memory_mib: int = _option(1024, "Address space each encoding process may grow by, in MiB.", _at_least(128))
    encode_queue: int = _option(
        32, "Images that may wait for an encoder; when full, images pass unchanged.", _at_least(1)
    )
    min_image_bytes: int = _option(1024, "Smaller images pass unchanged.", _at_least(0))
    max_image_bytes: int = _option(20 * MIB, "Larger images are streamed through, never buffered.", _at_least(KIB))
    max_image_pixels: int = _option(
        50_000_000, "Pixels × frames an image may declare before it is decoded.", _at_least(1)
    )
    spool_bytes: int = _option(256 * MIB, "Memory and disk for originals of what was rewritten.", _at_least(0))
    spool_ttl_s: float = _option(
        180.0, "Seconds an original is kept (DESIGN.md asks for at least 120).", _at_least(120)
    )
    transform_private: bool = _option(False, "Also rewrite images that set cookies or answer authorised requests.")
    page_text: bool = _option(True, "Use the words around an image as its prompt.")
    allow_private_targets: tuple[str, ...] = _option(
        (), "Exact host:port pairs on private networks that may be fetched.", _host_ports
    )
    hosts: tuple[str, ...] = _option(
        (), "Fixed addresses for names, as name=address; for demonstrations and tests.", _pairs
    )
    origin_ca: str = _option("", "File of extra CA certificates for origins (added to the public ones).")


@dataclass(frozen=True, slots=True)
class DownstreamConfig:
    """The proxy near the user: it asks for bundles and hands images to the browser."""

    listen_host: str = _option(LOOPBACK, "Address to listen on.")
    listen_port: int = _option(8080, "Port browsers are set to.", _port)
    state_dir: str = _option(
        "~/.sketchwire/downstream", "Folder for the certificate authority, the spool and the ledger; made 0700."
    )
    upstream: str = _option("http://127.0.0.1:8081", "URL of the upstream proxy.", _url)
    upstream_ca: str = _option(
        "~/.sketchwire/upstream/mitmproxy-ca-cert.pem",
        "The upstream proxy's CA certificate, which signs https answers.",
    )
    runtime: str = _option("http://127.0.0.1:8082", "URL of the reconstruction runtime; empty for previews only.", _url)
    reconstruct_deadline_s: float = _option(
        6.0, "Seconds a reconstruction may take; after that a preview is shown.", _at_least(0.05)
    )
    modes: tuple[str, ...] = _option(MODES[1:], "Bundle modes to accept.", _modes)
    page_text: bool = _option(True, "Remember pages' words per client, so that prompts need not cross the link.")
    page_memory: int = _option(64, "Pages whose words are remembered for each client.", _at_least(1))
    output_quality: int = _option(88, "Quality of the image files handed to the browser, 1 to 100.", _percent)


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """The process that reconstructs images."""

    listen_host: str = _option(LOOPBACK, "Address to listen on.")
    listen_port: int = _option(8082, "Port to listen on.", _port)
    state_dir: str = _option("~/.sketchwire/runtime", "Folder for the cache of reconstructions; made 0700.")
    engine: str = _option("auto", "Engine id; auto takes the best one that works here.")
    queue_size: int = _option(
        64, "Bundles that may wait; when full, the answer is 503 and downstream shows previews.", _at_least(1)
    )
    batch_size: int = _option(8, "Bundles reconstructed together at most.", _at_least(1))
    batch_wait_ms: float = _option(4.0, "Milliseconds to wait for a batch to fill.", _at_least(0))
    deadline_s: float = _option(
        10.0, "Seconds a bundle may spend here when the request names no deadline.", _at_least(0.05)
    )
    max_pixels: int = _option(50_000_000, "Largest reconstruction, in pixels.", _at_least(1))
    max_bundle_bytes: int = _option(2 * MIB, "Largest bundle accepted.", _at_least(KIB))
    cache_bytes: int = _option(512 * MIB, "Disk for finished reconstructions; 0 switches the cache off.", _at_least(0))
    threads: int = _option(0, "CPU threads for an engine; 0 takes all cores.", _at_least(0))


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """The record of what was saved."""

    file: str = _option("", "SQLite file; empty for ledger.sqlite in the role's state folder.")
    keep_days: float = _option(90.0, "Days a row is kept.", _at_least(0.01))


@dataclass(frozen=True, slots=True)
class Config:
    """All roles' configuration; a file may set only the tables its role needs."""

    upstream: UpstreamConfig = field(default_factory=UpstreamConfig)
    downstream: DownstreamConfig = field(default_factory=DownstreamConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    ledger: LedgerConfig = field(default_factory=LedgerConfig)


def load(path: Path | None = None, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Config:
    """Read `path` (the defaults when None) and apply `overrides`, given as {table: {key: value}}.

    Raises ConfigError, saying which file and key, and the nearest known name for one that is unknown.
    """
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from error
    source = str(path or "defaults")
    config = Config()
    for layer, origin in ((tables, source), (overrides or {}, "command line")):
        for name, values in layer.items():
            _known(name, [f.name for f in fields(Config)], "table", origin)
            if not isinstance(values, Mapping):
                raise ConfigError(f"{origin}: {name} must be a table, written [{name}]")
            config = replace(config, **{name: _fill(getattr(config, name), values, f"{origin}: [{name}]")})
    return config


def _fill(section: T, values: Mapping[str, Any], where: str) -> T:
    known = {f.name: f for f in fields(section)}  # type: ignore[arg-type]
    hints = get_type_hints(type(section))
    changes: dict[str, Any] = {}
    for key, raw in values.items():
        _known(key, list(known), "key", where)
        value = _coerce(raw, hints[key], f"{where} {key}")
        check = known[key].metadata["check"]
        problem = check(value) if check else None
        if problem:
            raise ConfigError(f"{where} {key} = {raw!r}: {problem}")
        changes[key] = value
    return replace(section, **changes)  # type: ignore[type-var]


def _coerce(raw: Any, wanted: Any, where: str) -> Any:
    if wanted is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if wanted == tuple[str, ...]:
        if isinstance(raw, list | tuple) and all(isinstance(item, str) for item in raw):
            return tuple(raw)
        raise ConfigError(f"{where} = {raw!r}: must be a list of strings")
    if not isinstance(raw, wanted) or (wanted is int and isinstance(raw, bool)):
        raise ConfigError(f"{where} = {raw!r}: must be of type {wanted.__name__}")
    return raw


def _known(name: str, names: list[str], what: str, where: str) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(names)}"
        raise ConfigError(f"{where}: unknown {what} {name!r}{hint}")
