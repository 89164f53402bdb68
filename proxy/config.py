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
TIERS = ("economy", "balanced", "faithful", "off")
DETECTORS = ("faces", "text", "codes", "logos")
FORMATS = ("avif", "webp", "jxl")  # subtypes of image that classical answers may have
LINKS = ("slow-2g", "2g", "3g", "4g")  # the effective connection types of the Network Information API
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


def _detectors(v: tuple[str, ...]) -> str | None:
    wrong = [name for name in v if name not in DETECTORS]
    return f"knows {', '.join(DETECTORS)}, not {wrong[0]!r}" if wrong else None


def _url(v: str) -> str | None:
    return None if v == "" or v.startswith(("http://", "https://")) else "must start with http:// or https://"


def _urls(v: tuple[str, ...]) -> str | None:
    wrong = [item for item in v if not item.startswith(("http://", "https://"))]
    return f"must start with http:// or https://, unlike {wrong[0]!r}" if wrong else None


def _route(v: str) -> str | None:
    fine = v == "/" or (v.startswith("/") and not v.endswith("/") and all(c.isalnum() or c in "/-_." for c in v))
    return None if fine else "must be / or a path such as /a, without a slash at its end"


def _redis_url(v: str) -> str | None:
    known = v == "" or v.startswith(("redis://", "rediss://", "unix://"))
    return None if known else "must start with redis://, rediss:// or unix://"


def _database(v: str) -> str | None:
    known = v == "" or v.startswith(("postgresql://", "postgresql+psycopg://", "sqlite:///"))
    return None if known else "must start with postgresql+psycopg:// or sqlite:///"


def _host_ports(v: tuple[str, ...]) -> str | None:
    wrong = [item for item in v if not item.rpartition(":")[2].isdigit() or not item.rpartition(":")[0]]
    return f"must be exact host:port pairs, not {wrong[0]!r}" if wrong else None


def _ports(v: tuple[str, ...]) -> str | None:
    for item in v:
        ends = item.split("-")
        numbers = [int(end) for end in ends if end.isascii() and end.isdigit()]
        if len(ends) > 2 or len(numbers) != len(ends) or not 1 <= numbers[0] <= numbers[-1] <= 65_535:
            return f'must be ports and ranges such as "443" and "1024-65535", not {item!r}'
    return None


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
    tier: str = _option(
        "balanced",
        "How good images must be, unless downstream names a tier: economy and balanced may be drawn by a model, "
        "faithful is never (classical codecs only), off sends originals.",
        _one_of(*TIERS),
    )
    runtime: str = _option(
        "", "URL of a runtime like downstream's, to measure bundles before they are sent; empty to predict.", _url
    )
    encoded_cache_bytes: int = _option(
        256 * MIB, "Disk for results of the encoder, which the same image gets again.", _at_least(0)
    )
    shared_cache: str = _option(
        "",
        "Redis or Valkey where upstream proxies share the encoder's results, as redis://host:6379/1; empty: none. Only "
        "what was made without words goes there.",
        _redis_url,
    )
    shared_cache_ttl_s: int = _option(604_800, "Seconds a shared result is kept.", _at_least(1))
    shared_cache_entry_bytes: int = _option(MIB, "Larger results are not shared.", _at_least(KIB))
    encode_workers: int = _option(2, "Processes that encode images.", _at_least(1))
    encode_deadline_s: float = _option(
        4.0,
        "Seconds until an image is answered with the best found by then, or passes unchanged.",
        _at_least(0.05),
    )
    polish: bool = _option(
        True,
        "Whether files that are asked for again are searched for more slowly, while nobody waits: a tenth smaller.",
    )
    encode_background_s: float = _option(
        10.0,
        "Seconds the search for an image may go on altogether, for the cache, after it was answered.",
        _at_least(0),
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
    detect: tuple[str, ...] = _option(
        DETECTORS,
        "What is looked for in images, to be sent as real pixels: faces, text, codes, and logos by what pages say.",
        _detectors,
    )
    face_weights: str = _option(
        "", "File of a YuNet model (.onnx) to find faces with; empty for the built-in detector."
    )
    allow_private_targets: tuple[str, ...] = _option(
        (), "Exact host:port pairs on private networks that may be fetched.", _host_ports
    )
    hosts: tuple[str, ...] = _option(
        (), "Fixed addresses for names, as name=address; for demonstrations and tests.", _pairs
    )
    origin_ca: str = _option("", "File of extra CA certificates for origins (added to the public ones).")
    link: str = _option(
        "auto",
        "h2 also listens for paired downstream proxies on link_port; chain does not; auto is the link between the two "
        "proxies of `sketchwire up`, on any free port, and chain for a proxy that is started alone.",
        _one_of("auto", "chain", "h2"),
    )
    link_host: str = _option(LOOPBACK, "Address where the link listens.")
    link_port: int = _option(8083, "Port where the link listens.", _port)


@dataclass(frozen=True, slots=True)
class DownstreamConfig:
    """The proxy near the user: it asks for bundles and hands images to the browser."""

    listen_host: str = _option(LOOPBACK, "Address to listen on.")
    listen_port: int = _option(8080, "Port browsers are set to.", _port)
    state_dir: str = _option(
        "~/.sketchwire/downstream", "Folder for the certificate authority, the spool and the ledger; made 0700."
    )
    upstream: str = _option("http://127.0.0.1:8081", "URL of the upstream proxy.", _url)
    link: str = _option(
        "auto",
        "How upstream is reached: chain (as any proxy, by its URL) or h2 (the link: paired, one connection); auto is "
        "the link under `sketchwire up`, which pairs the two by itself, and chain for a proxy that is started alone.",
        _one_of("auto", "chain", "h2"),
    )
    link_upstream: str = _option(
        "127.0.0.1:8083", "Host and port of the upstream proxy's link, for link = h2.", lambda v: _host_ports((v,))
    )
    link_repeat_bytes: int = _option(
        64 * MIB, "Memory for bodies that need not cross the link again; 0 switches this off.", _at_least(0)
    )
    upstream_ca: str = _option(
        "~/.sketchwire/upstream/mitmproxy-ca-cert.pem",
        "The upstream proxy's CA certificate, which signs https answers.",
    )
    runtime: str = _option("http://127.0.0.1:8082", "URL of the reconstruction runtime; empty for previews only.", _url)
    runtimes: tuple[str, ...] = _option(
        (),
        "URLs of more runtimes: the least busy one that works is asked, and another one besides when an answer takes "
        "longer than 19 of 20.",
        _urls,
    )
    reconstruct_deadline_s: float = _option(
        6.0, "Seconds a reconstruction may take; after that a preview is shown.", _at_least(0.05)
    )
    modes: tuple[str, ...] = _option(MODES[1:], "Bundle modes to accept.", _modes)
    page_text: bool = _option(True, "Remember pages' words per client, so that prompts need not cross the link.")
    tier: str = _option(
        "", "Tier to ask upstream for: economy, balanced, faithful or off; empty for upstream's.", _one_of("", *TIERS)
    )
    page_memory: int = _option(64, "Pages whose words are remembered for each client.", _at_least(1))
    output_quality: int = _option(88, "Quality of the image files handed to the browser, 1 to 100.", _percent)


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """The process that reconstructs images."""

    listen_host: str = _option(LOOPBACK, "Address to listen on.")
    listen_port: int = _option(8082, "Port to listen on.", _port)
    state_dir: str = _option("~/.sketchwire/runtime", "Folder for the cache of reconstructions; made 0700.")
    engine: str = _option("auto", "Engine id; auto takes the best one that works here.")
    profile: str = _option(
        "sd15-lcm", "Model profile of the diffusion engine: a name, a .toml file or a folder with profile.toml."
    )
    compile: bool = _option(False, "Compile the diffusion engine's network: slower to start, quicker on GPUs.")
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
    shared_cache: str = _option(
        "",
        "Redis or Valkey that several runtimes share, as redis://host:6379/0 (rediss:// for TLS, unix:///path); empty: "
        "none. Only pictures made without words go there.",
        _redis_url,
    )
    shared_cache_ttl_s: int = _option(604_800, "Seconds a shared reconstruction is kept.", _at_least(1))
    shared_cache_entry_bytes: int = _option(4 * MIB, "Larger reconstructions are not shared.", _at_least(KIB))
    shared_cache_lock_s: float = _option(
        10.0, "Seconds others wait at most while one runtime draws a picture that all want.", _at_least(0.1)
    )


@dataclass(frozen=True, slots=True)
class ScaleConfig:
    """The runtime on Ray Serve (`sketchwire serve`): how many copies of the engine run, and on what."""

    replicas: int = _option(1, "Copies of the engine that always run.", _at_least(1))
    most_replicas: int = _option(1, "Copies of the engine under load; Ray starts and stops them.", _at_least(1))
    cpus: float = _option(1.0, "CPU cores that each copy is given.", _at_least(0))
    gpus: float = _option(0.0, "GPUs that each copy is given; 0.5 puts two copies on one.", _at_least(0))
    ongoing: int = _option(
        8, "Requests in hand at a copy that Ray aims at when it starts and stops copies.", _at_least(1)
    )
    route: str = _option("/", "Path before /v1: two versions of a model can run side by side at /a and /b.", _route)
    application: str = _option("sketchwire", "Name of the application in Ray.")


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """The record of what was saved."""

    file: str = _option("", "SQLite file; empty for ledger.sqlite in the role's state folder.")
    url: str = _option(
        "", "Database URL instead of a file, for several proxies: postgresql+psycopg://user@host/name.", _database
    )
    rows_days: float = _option(7.0, "Days a response's own row is kept; after that only sums.", _at_least(0.01))
    hours_days: float = _option(31.0, "Days sums per hour are kept; after that they become sums per day.", _at_least(1))
    keep_days: float = _option(90.0, "Days anything is kept.", _at_least(0.01))
    subscribers: bool = _option(True, "Keep a keyed pseudonym of the client or user with each row.")
    key_file: str = _option("", "File of the pseudonyms' key, 0600; empty for ledger.key in the role's state folder.")
    domains: bool = _option(False, "Keep the registrable domain of each response.")
    domain_k: int = _option(5, "Reports for all merge domains that fewer subscribers visited.", _at_least(1))
    gallery_images: int = _option(
        0,
        "Small pictures, before and after, that upstream keeps for the report: so many of the worst and of the best, "
        "for rows_days; 0 keeps none.",
        _at_least(0),
    )


@dataclass(frozen=True, slots=True)
class AdminConfig:
    """The proxies' admin ports: Prometheus metrics, and what operators look at."""

    host: str = _option(LOOPBACK, "Address to listen on; others than loopback ask for the token.")
    upstream_port: int = _option(0, "Port at the upstream proxy; 0 keeps it closed.", _port)
    downstream_port: int = _option(0, "Port at the downstream proxy; 0 keeps it closed.", _port)
    token_file: str = _option(
        "", "File with the token, 0600, made at need; empty for admin.token in the role's state folder."
    )
    ask_on_loopback: bool = _option(False, "Ask for the token on loopback addresses, too.")


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """What `sketchwire report` reckons with."""

    link_kbit_s: float = _option(
        0.0, "Rate of the thin link in kbit/s, for the time saved; 0 reads it from large answers.", _at_least(0)
    )
    currency: str = _option("EUR", "Currency of the prices.")
    price_per_mb: float = _option(
        0.0, "Price of a megabyte (1,000,000 bytes) on the link; 0 leaves money out.", _at_least(0)
    )
    drawing_price: float = _option(
        0.0, "Price of drawing a thousand images (GPU, power), charged against the money saved.", _at_least(0)
    )
    daily_price: float = _option(
        0.0, "What the service costs a day (machines, captioning), charged against the money saved.", _at_least(0)
    )


@dataclass(frozen=True, slots=True)
class AccessConfig:
    """Who may use the proxies and for what, and which hosts are left alone; both proxies read it."""

    pair_file: str = _option(
        "",
        "File with the tokens that pair the two proxies (`sketchwire access rotate FILE` makes it): upstream serves "
        "nobody else, downstream sends the first. Empty: everybody who can connect, on loopback addresses only.",
    )
    proxyauth: str = _option(
        "",
        "File with downstream's users (htpasswd; `sketchwire access password NAME FILE` adds one). Empty: no "
        "passwords, on loopback addresses only.",
    )
    ports: tuple[str, ...] = _option(
        ("80", "443", "1024-65535"),
        "Ports of origins. Those of well-known services that are no web servers stay closed unless named one by one.",
        _ports,
    )
    max_url_bytes: int = _option(16 * KIB, "Longer addresses are refused (414).", _at_least(KIB))
    max_header_bytes: int = _option(128 * KIB, "Requests with heavier header fields are refused (431).", _at_least(KIB))
    max_header_fields: int = _option(256, "Requests with more header fields are refused (431).", _at_least(16))
    connect_deadline_s: float = _option(
        10.0, "Seconds until a connection must be made, and its TLS or CONNECT answered.", _at_least(0.1)
    )
    answer_deadline_s: float = _option(
        120.0, "Seconds without a byte after which a request that awaits its answer is given up.", _at_least(0.1)
    )
    head_deadline_s: float = _option(
        30.0, "Seconds a client may take for a request's head, or a TLS handshake, until it is cut off.", _at_least(1)
    )
    idle_deadline_s: float = _option(
        120.0,
        "Seconds a client's connection to downstream may idle between requests (tunnels and WebSockets do not count); "
        "0: ten minutes.",
        _at_least(0),
    )
    client_connections: int = _option(
        2000, "Connections to downstream that one address may have at once; 0: any number.", _at_least(0)
    )
    bypass_file: str = _option(
        "", "Own list of hosts whose TLS connections pass untouched, instead of proxy/tunnel/bypass.toml."
    )
    bypass_refusals: int = _option(
        2, "Times a client must refuse our certificate for a host until that host is left alone.", _at_least(1)
    )
    bypass_hours: float = _option(24.0, "Hours for which such a host is left alone for that client.", _at_least(0.01))
    onboarding: bool = _option(True, "Show the proxy's own pages at http://sketchwire.internal/.")


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """The HTTP cache of each proxy (RFC 9111), in its state folder; see docs/cache.md."""

    enabled: bool = _option(True, "Keep answers and give them again while they are fresh.")
    upstream_bytes: int = _option(
        1024 * MIB, "Disk for what origins answered, at the upstream proxy; 0 switches this one off.", _at_least(0)
    )
    downstream_bytes: int = _option(
        512 * MIB, "Disk for what crossed the link, at the downstream proxy; 0 switches this one off.", _at_least(0)
    )
    max_object_bytes: int = _option(
        16 * MIB, "Larger bodies are not kept, nor those over a quarter of the whole.", _at_least(KIB)
    )
    downstream_shared: bool = _option(
        False,
        "One store for all of downstream's users, without anything personal; else one for each (user name or address).",
    )
    unreachable_s: float = _option(
        86_400.0,
        "Seconds past its freshness that a stored answer stands in when no server can be reached, unless the origin "
        "forbids it; 0: as long as its stale-if-error says.",
        _at_least(0),
    )


@dataclass(frozen=True, slots=True)
class CaptionsConfig:
    """Descriptions of images by a vision model, for images that their page says nothing about."""

    enabled: bool = _option(False, "Send images without page words to a captioning server (see docs/captions.md).")
    base_url: str = _option("https://api.openai.com/v1", "URL of an OpenAI-compatible server.", _url)
    model: str = _option("gpt-4o-mini", "Model that describes images.")
    api_key_env: str = _option("OPENAI_API_KEY", "Environment variable with the server's key.")
    side_px: int = _option(512, "Long side of the image that is sent, in pixels.", _at_least(64))
    max_chars: int = _option(160, "Longest caption, in characters.", _at_least(20))
    max_output_tokens: int = _option(120, "Tokens an answer may have.", _at_least(16))
    timeout_s: float = _option(10.0, "Seconds for a caption, retries included.", _at_least(0.1))
    retries: int = _option(2, "Further tries after 429, 5xx, a broken connection or silence.", _at_least(0))
    wait_s: float = _option(
        0.0, "Seconds an image waits for its caption; without, the caption is there the next time.", _at_least(0)
    )
    per_minute: float = _option(30.0, "Requests a minute at most.", _at_least(0.1))
    daily_money: float = _option(1.0, "Money for one UTC day at most, at the prices below; 0: no limit.", _at_least(0))
    input_price: float = _option(0.15, "Price of a million input tokens.", _at_least(0))
    output_price: float = _option(0.6, "Price of a million output tokens.", _at_least(0))
    entries: int = _option(4000, "Captions that are remembered, by what the picture looks like.", _at_least(1))
    allow_faces: bool = _option(False, "Also send images with people's faces in them.")
    page_words: bool = _option(False, "Send the page's words about an image along, as a hint, where there are any.")


@dataclass(frozen=True, slots=True)
class SubscribersConfig:
    """Who may use the downstream proxy and on which terms; see docs/subscribers.md."""

    enabled: bool = _option(False, "Serve the subscribers of `sketchwire subscribers`, each on their own terms.")
    file: str = _option("", "SQLite file of accounts; empty for subscribers.sqlite in downstream's state_dir.")
    accounts: str = _option(
        "password",
        "How subscribers are told apart: password (the file that proxyauth in [access] names), ldap, or network (by "
        "their addresses).",
        _one_of("password", "ldap", "network"),
    )
    unknown: str = _option(
        "refuse", "Who is no subscriber: refuse (a page), or off (originals).", _one_of("refuse", "off")
    )
    consent_version: str = _option(
        "", "Version of the text that subscribers must have agreed to; who did not gets originals. Empty: none needed."
    )
    when_used_up: str = _option(
        "economy",
        "When a quota is used up: economy (the tier) or refuse (a page).",
        _one_of("economy", "refuse"),
    )
    outside_schedule: str = _option(
        "off", "Tier outside of a subscriber's schedule: off or faithful.", _one_of("off", "faithful")
    )
    timezone: str = _option("UTC", "Zone of quotas' days and of schedules, such as Europe/Berlin.")
    link_kbit_s: float = _option(
        0.0, "Capacity of the link in kbit/s, to tell when it is congested; 0: unknown, never.", _at_least(0)
    )
    congested_percent: float = _option(80.0, "Use of the link, over 30 s, at which it is congested.", _at_least(1))
    ldap: str = _option("", "Directory for accounts = ldap: ldaps://host, or ldap://host with StartTLS.")
    ldap_base: str = _option("", "Entry below which users are, such as ou=people,dc=example,dc=org.")
    ldap_filter: str = _option("(uid={name})", "How a user's entry is found.")
    ldap_bind_dn: str = _option("", "Who signs in to look users up; empty: nobody.")
    ldap_password_file: str = _option("", "File with that one's password, 0600.")
    ldap_ca: str = _option("", "File of certificates to trust for the directory; empty: the system's.")


@dataclass(frozen=True, slots=True)
class Config:
    """All roles' configuration; a file may set only the tables its role needs."""

    upstream: UpstreamConfig = field(default_factory=UpstreamConfig)
    downstream: DownstreamConfig = field(default_factory=DownstreamConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    ledger: LedgerConfig = field(default_factory=LedgerConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    access: AccessConfig = field(default_factory=AccessConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    captions: CaptionsConfig = field(default_factory=CaptionsConfig)
    subscribers: SubscribersConfig = field(default_factory=SubscribersConfig)


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
