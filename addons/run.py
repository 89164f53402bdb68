"""Builds and runs a proxy process: mitmproxy's master with our addons, from ready to drained.

In: a configuration. Out: a serving process, a ready file. Refuses: a port in use, a missing CA file, unreadable
certificates (`StartError`, which says what to do).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import signal
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import certifi
from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from addons import errorpage, framing, headsize
from addons.access import Bounds, PairedOnly, Passwords, ShowToken
from addons.anew import Anew
from addons.bypass import Bypass, TunnelAsTold
from addons.clients import Clients, Patience
from addons.dashboard import Board
from addons.deadlines import Deadlines
from addons.downstream import Downstream
from addons.drain import Drain
from addons.gallery import Gallery
from addons.guard import TargetGuard
from addons.heap import Heap
from addons.httpcache import http_cache, validation_row
from addons.ledgerrows import LedgerRows, Naming, Who, address_of, draft, killed
from addons.link import LinkListener, LinkReturn, LinkRoute
from addons.linkmeter import LinkMeter
from addons.metrics import AdminPort
from addons.onboarding import ChoiceStore, FrontDoor, Onboarding, certificate_reader
from addons.pagetext import PageText
from addons.reload import Reload
from addons.sockets import SocketMeter
from addons.subscribers import Subscribers, served
from addons.tether import Tether
from addons.upstream import Upstream
from proxy import ports
from proxy.access.admission import Admission, AdmissionError, Role
from proxy.cache.background import Background
from proxy.captions import Captioner
from proxy.config import AccessConfig, Config, DownstreamConfig, LedgerConfig, SubscribersConfig, UpstreamConfig
from proxy.encode.pool import EncoderPool
from proxy.encoded_cache import EncodedCache
from proxy.gallery import shelf
from proxy.hangup import Terminal
from proxy.identity import Identity
from proxy.ledger import Ledger, keep, ledger_place
from proxy.ledger.pseudonym import Pseudonyms, key_file
from proxy.link.far import FarSettings
from proxy.link.near import NearEnd
from proxy.link.peers import ca_file
from proxy.negotiation import NO_ENGINE
from proxy.onboarding.choices import Choices
from proxy.onboarding.site import Site
from proxy.openfiles import raise_limit
from proxy.pages import PageMemory
from proxy.polish import Polisher
from proxy.refetch import Refetcher
from proxy.report.numbers import size
from proxy.restore import Restorer
from proxy.runtime_client import RuntimeClient
from proxy.runtimes.pool import RuntimePool
from proxy.shared.heap import bound_heaps
from proxy.spool import Spool
from proxy.statefile import local_key
from proxy.subscribers.admission import read as read_admission
from proxy.subscribers.store import StoreError
from proxy.targets import Targets
from proxy.transform import Transformer
from proxy.tunnel.refusals import Refusals, Terms
from proxy.underway import opened
from proxy.verify import Verifier

logger = logging.getLogger("sketchwire.run")

CA_FILE = "mitmproxy-ca-cert.pem"
CHOICES_FILE, REFUSALS_FILE, KEY_FILE = "choices.json", "refusals.json", "local.key"
UNDERWAY_FILE = "underway.journal"
DRAIN_S = 10.0
LIVE_ACCESS = frozenset(f.name for f in fields(AccessConfig)) - {"onboarding", "bypass_refusals", "bypass_hours"}
LIVE_SUBSCRIBERS = frozenset(f.name for f in fields(SubscribersConfig)) - {"enabled", "file", "accounts"}
LIVE_UPSTREAM = frozenset(
    ("allow_private_targets", "hosts", "mode", "tier", "min_image_bytes", "max_image_pixels", "transform_private")
)
LIVE_DOWNSTREAM = frozenset(("modes", "tier", "reconstruct_deadline_s", "output_quality"))
UPSTREAM_ADVICE = "The site could not be reached from the upstream proxy. Try again, or check the address."
DOWNSTREAM_ADVICE = (
    "The upstream proxy cannot be reached. Check that it runs (sketchwire upstream) and that the downstream "
    "configuration names its address; then reload. Nothing was asked of the site directly."
)


class StartError(RuntimeError):
    """The proxy cannot serve; the message says why, and what to change."""


@dataclass(slots=True)
class _Parts:
    """What a role adds to mitmproxy: addons in order, what to do when it starts, what a new configuration changes."""

    addons: list[object]
    start: Callable[[AsyncExitStack], Any]
    configure: Callable[[Config, Admission], None]
    told: Callable[[], dict[str, Any]] = dict  # for the ready file


class _Lifecycle:
    """Starts a role's resources before the ready file is written and closes them at the end, in reverse."""

    def __init__(self, start: Callable[[AsyncExitStack], Any]) -> None:
        self._start = start
        self._stack = AsyncExitStack()

    async def running(self) -> None:
        await self._start(self._stack)

    async def done(self) -> None:
        await self._stack.aclose()


class _ReadyFile:
    """Tells whoever waits which port was taken."""

    def __init__(self, master: Any, path: Path | None, host: str, ca: Path) -> None:
        self._master, self._path, self._host, self._ca = master, path, host, ca
        self.more: Callable[[], dict[str, Any]] = dict  # what else to tell

    def running(self) -> None:
        listening = self._master.addons.get("proxyserver").listen_addrs()
        port = int(listening[0][1]) if listening else 0
        logger.info("listening on %s port %d", self._host, port)
        if self._path is not None:
            told = {"host": self._host, "port": port, "pid": os.getpid(), "ca": str(self._ca), **self.more()}
            _write_private(self._path, json.dumps(told).encode() + b"\n")

    def done(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def run_upstream(
    config: Config,
    ready_file: Path | None = None,
    drain_s: float = DRAIN_S,
    load: Callable[[], Config] | None = None,
) -> None:
    """Serve as the upstream proxy until SIGTERM or SIGINT; SIGHUP takes over what `load` gives. Raises StartError."""
    role = config.upstream
    admission = _admission(config, "upstream")
    state_dir = _private_folder(role.state_dir)
    trust = certifi.where() if not role.origin_ca else str(_combined_trust(state_dir, Path(role.origin_ca)))
    options = {
        "mode": ["regular"],
        "ssl_verify_upstream_trusted_ca": trust,
        "stream_large_bodies": str(role.max_image_bytes),  # also those of unknown length, once they get there
    }

    async def make(confdir: Path) -> _Parts:
        ledger = Ledger(ledger_place(config.ledger, state_dir), keep(config.ledger), domains=config.ledger.domains)
        spool = Spool(role.spool_bytes, role.spool_ttl_s, state_dir / "spool")
        pages = PageText(PageMemory(64)) if role.page_text else None
        search_s = max(role.encode_deadline_s, role.encode_background_s)
        pool = EncoderPool(
            *(role.encode_workers, search_s, role.encode_memory_mib, role.encode_queue),
            detectors=role.detect,
            face_weights=role.face_weights,
        )
        guard = TargetGuard(_targets(config))
        bounds, paired = Bounds(admission.limits), PairedOnly(admission.tokens)
        place = FarSettings(state_dir / "link", role.link_host, role.link_port, confdir / CA_FILE)
        link = LinkListener(place, paired) if role.link == "h2" else None
        deadlines = Deadlines(config.access.connect_deadline_s, config.access.answer_deadline_s)
        clients = Clients(_patience(config.access, "upstream"))
        encoded = _encoded_cache(role, state_dir / "encoded.sqlite")
        engine = RuntimeClient(role.runtime) if role.runtime else None
        captioner = Captioner(config.captions, state_dir) if config.captions.enabled else None
        verifier = Verifier(engine, pool) if engine else None
        polisher = Polisher(pool, encoded) if role.polish and role.encode_workers > 1 else None
        transformer = Transformer(role, pool, encoded, verifier, captioner, polisher)
        loop_id = "sketchwire-" + hashlib.sha256((confdir / CA_FILE).read_bytes()).hexdigest()[:12]
        naming = _naming(config.ledger, state_dir)
        gallery = _gallery(config.ledger, state_dir, spool, naming)
        addon = Upstream(
            transformer,
            spool,
            pages=pages,
            record=gallery.record if gallery else draft,
            loop_id=loop_id,
            max_held=role.encode_queue + role.encode_workers,
        )

        cache = http_cache(config.cache, "upstream", state_dir)

        async def start(stack: AsyncExitStack) -> None:
            stack.callback(ledger.close)
            stack.callback(spool.close)
            if cache:
                await cache.store.open()
                stack.push_async_callback(cache.store.close)
            if pages:
                stack.callback(pages.close)
            if engine:
                await stack.enter_async_context(engine)
            await stack.enter_async_context(pool)
            if captioner:
                stack.push_async_callback(captioner.close)
            stack.push_async_callback(transformer.close)

        def configure(new: Config, admitted: Admission) -> None:
            bounds.limits, paired.tokens, guard.targets = admitted.limits, admitted.tokens, _targets(new)
            deadlines.connect_s, deadlines.answer_s = new.access.connect_deadline_s, new.access.answer_deadline_s
            clients.patience = _patience(new.access, "upstream")
            transformer.configure(new.upstream)

        listening = [link] if link else []
        board = Board("upstream", ledger, ledger_place(config.ledger, state_dir))
        board.watch("encoding processes", lambda: str(role.encode_workers))
        board.watch("measured with", lambda: "a runtime" if engine else "predictions only")
        if polisher:
            board.watch("saved by polishing", lambda: size(polisher.saved_bytes))
        board.watch("defects of ours", lambda: str(sum(addon.failures.values())))
        admin = AdminPort("upstream", config.admin, state_dir, ledger, board.dashboard.routes())
        admin.watch_failures(addon.failures)
        rows = LedgerRows("upstream", board.recording(admin.record), naming)
        before, behind = ([cache.before], [cache.behind]) if cache else ([], [])
        cached = [*before, addon, *behind, *([gallery] if gallery else [])]
        addons = [bounds, paired, guard, TunnelAsTold(), *cached, deadlines, clients, *listening, rows, board, admin]
        return _Parts(addons, start, configure, lambda: {**(link.told() if link else {}), **admin.told()})

    errorpage.install(UPSTREAM_ADVICE)
    _run(config, "upstream", state_dir, options, make, ready_file, drain_s, load, LIVE_UPSTREAM)


def run_downstream(
    config: Config,
    ready_file: Path | None = None,
    drain_s: float = DRAIN_S,
    load: Callable[[], Config] | None = None,
) -> None:
    """Serve as the downstream proxy until SIGTERM or SIGINT; SIGHUP takes over what `load` gives. Raises StartError."""
    role = config.downstream
    admission = _admission(config, "downstream")
    state_dir = _private_folder(role.state_dir)
    near = _near_end(role, state_dir) if role.link == "h2" else None
    upstream_url = f"http://127.0.0.1:{near.ports[0]}" if near else role.upstream.rstrip("/")
    paired_ca = ca_file(state_dir / "link")
    ca = paired_ca if near and paired_ca.exists() else Path(role.upstream_ca).expanduser()
    _check_certificates(ca, "upstream_ca: copy mitmproxy-ca-cert.pem from the upstream proxy's state folder")
    options = {"mode": [f"upstream:{upstream_url}"], "ssl_verify_upstream_trusted_ca": str(ca)}

    async def make(confdir: Path) -> _Parts:
        underway, left = opened(state_dir / UNDERWAY_FILE)
        place, domains = ledger_place(config.ledger, state_dir), config.ledger.domains
        ledger = Ledger(place, keep(config.ledger), domains=domains, underway=underway)
        pages = PageText(PageMemory(role.page_memory)) if role.page_text else None
        runtimes = [url for url in (role.runtime, *role.runtimes) if url]
        runtime = RuntimePool(runtimes) if runtimes else None
        restorer = Restorer(role, runtime)
        refetcher = Refetcher(upstream_url, ca)
        refetcher.authorization = admission.tokens.header if admission.tokens else None
        addon = Downstream(restorer, refetcher, pages=pages, record=draft)
        key = local_key(state_dir / KEY_FILE)
        bounds, passwords, token = Bounds(admission.limits), Passwords(admission.users), ShowToken(admission.tokens)
        naming = _naming(config.ledger, state_dir, passwords.who)
        people = _served(config, naming, passwords.who)
        who, terms = (people.who, [people.tier]) if people else (passwords.who, [])
        store = ChoiceStore(Choices(), state_dir / CHOICES_FILE, Identity(key).pseudonym)
        site = (
            Site(certificate_reader(confdir / CA_FILE), store.choices, store.save) if config.access.onboarding else None
        )
        own_pages = [Onboarding(site, store, who, ledger_place(config.ledger, state_dir))] if site else []
        bypass = Bypass(
            admission.bypass,
            Refusals(key, Terms(config.access.bypass_refusals, config.access.bypass_hours * 3600)),
            state_dir / REFUSALS_FILE,
            client_of=who,
            is_off=lambda each: store.choices.of(store.name(each)).off or (people is not None and people.is_off(each)),
        )
        deadlines = Deadlines(config.access.connect_deadline_s, config.access.answer_deadline_s)
        clients = Clients(_patience(config.access, "downstream"))
        cache = http_cache(config.cache, "downstream", state_dir, people.who_and_tier if people else who)
        if cache:
            limit_bytes = config.cache.max_object_bytes
            cache.background = Background(upstream_url, ca, limit_bytes, lambda: refetcher.authorization)

        async def start(stack: AsyncExitStack) -> None:
            stack.callback(ledger.close)
            if cache:
                await cache.store.open()
                stack.push_async_callback(cache.store.close)
                if cache.background:
                    stack.push_async_callback(cache.background.close)
            if pages:
                stack.callback(pages.close)
            stack.push_async_callback(refetcher.close)
            if near:
                if isinstance(meter, LinkMeter):
                    stack.callback(meter.settle)
                stack.push_async_callback(near.stop)
                await near.start()
            if runtime:
                await stack.enter_async_context(runtime)
                await restorer.refresh()
                watch = asyncio.create_task(restorer.watch())
                stack.callback(watch.cancel)

        def configure(new: Config, admitted: Admission) -> None:
            bounds.limits, token.tokens, bypass.hosts = admitted.limits, admitted.tokens, admitted.bypass
            passwords.set_users(admitted.users)
            if people:
                people.configure(new.subscribers)
            refetcher.authorization = admitted.tokens.header if admitted.tokens else None
            deadlines.connect_s, deadlines.answer_s = new.access.connect_deadline_s, new.access.answer_deadline_s
            clients.patience = _patience(new.access, "downstream")
            restorer.configure(new.downstream)

        tether: list[object] = [LinkReturn()] if near else [Tether(role.upstream)]
        route = [LinkRoute(near)] if near else []
        first = [*tether, bounds, FrontDoor(site), passwords, *own_pages, *([people] if people else []), bypass]
        meter = LinkMeter(near) if near else SocketMeter(underway=underway)
        board = Board("downstream", ledger, ledger_place(config.ledger, state_dir))
        board.watch("engine", lambda: "previews only" if restorer.offer.engine == NO_ENGINE else restorer.offer.engine)
        board.watch("link", lambda: "chained proxies" if near is None else "up" if near.is_up else "down")
        board.watch("defects of ours", lambda: str(sum(addon.failures.values())))
        admin = AdminPort("downstream", config.admin, state_dir, ledger, board.dashboard.routes())
        if near:
            admin.watch("sketchwire_link_up", lambda: near.is_up)
        admin.watch("sketchwire_runtime_up", lambda: restorer.offer.engine != NO_ENGINE)
        admin.watch_failures(addon.failures)
        charge = people.charging(admin.record) if people else admin.record
        record = meter.noting(charge) if isinstance(meter, LinkMeter) else charge
        rows = LedgerRows("downstream", board.recording(record), replace(naming, who=who), meter)
        for row in killed("downstream", left):
            charge(row)
        last = [*route, meter, rows, board, admin]
        if cache:
            cache.background_cost = lambda came: record(validation_row(came))
        before, behind = ([cache.before], [cache.behind]) if cache else ([], [])
        return _Parts(
            [*first, *before, addon, *terms, *behind, token, deadlines, clients, *last], start, configure, admin.told
        )

    errorpage.install(DOWNSTREAM_ADVICE)
    _run(config, "downstream", state_dir, options, make, ready_file, drain_s, load, LIVE_DOWNSTREAM)


def _run(
    config: Config,
    role: Role,
    state_dir: Path,
    options: dict[str, Any],
    make: Callable[[Path], Any],
    ready_file: Path | None,
    drain_s: float,
    load: Callable[[], Config] | None,
    live: frozenset[str],
) -> None:
    bound_heaps()
    raise_limit()
    framing.install()
    headsize.install(config.access.max_header_bytes + config.access.max_url_bytes)
    part = getattr(config, role)

    def reloading(parts: _Parts) -> Reload:
        def prepare(new: Config) -> Callable[[], None]:
            admitted = read_admission(new, role)
            return lambda: parts.configure(new, admitted)

        return Reload(config, load, prepare, {role: live, "access": LIVE_ACCESS, "subscribers": LIVE_SUBSCRIBERS})

    asyncio.run(_serve(part.listen_host, part.listen_port, state_dir, options, make, ready_file, drain_s, reloading))


async def _serve(
    host: str,
    port: int,
    state_dir: Path,
    options: dict[str, Any],
    make: Callable[[Path], Any],
    ready_file: Path | None,
    drain_s: float,
    reloading: Callable[[_Parts], Reload],
) -> None:
    problem = ports.why_not_bindable(host, port) if port else None
    if problem:
        raise StartError(f"cannot listen on {host} port {port}: {problem}; stop that, or choose another with --port")
    master: Any = DumpMaster(Options(), with_termlog=False, with_dumper=False)
    # only now do the options that addons declare exist, and the addons hear of changes (the CA is made here);
    # connecting lazily lets all of a browser's requests to a site share one HTTP/2 connection
    place = {"confdir": str(state_dir), "listen_host": host, "listen_port": port}
    master.options.update(connection_strategy="lazy", onboarding=False, **place, **options)
    parts: _Parts = await make(state_dir)
    drain = Drain(drain_s)
    ready = _ReadyFile(master, ready_file, host, state_dir / CA_FILE)
    ready.more = parts.told
    master.addons.add(_Lifecycle(parts.start), *parts.addons, Anew(), Heap(), drain, ready)
    reload, terminal = reloading(parts), Terminal()
    stopping: set[asyncio.Task[None]] = set()

    def stop() -> None:
        stopping.add(asyncio.get_running_loop().create_task(drain.stop(master)))

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: stop() if terminal.lost() else reload.reload())
    try:
        await master.run()
    except SystemExit as error:  # mitmproxy's errorcheck, after logging why
        raise StartError("mitmproxy could not start; the lines above say why") from error


def _admission(config: Config, role: Role) -> Admission:
    try:
        return read_admission(config, role)
    except AdmissionError as error:
        raise StartError(str(error)) from error


def _naming(config: LedgerConfig, state_dir: Path, who: Who = address_of) -> Naming:
    if not config.subscribers:
        return Naming(None, who, config.domains)
    try:
        return Naming(Pseudonyms(key_file(config, state_dir)), who, config.domains)
    except OSError as error:
        raise StartError(f"the ledger's key cannot be used: {error}") from error


def _served(config: Config, naming: Naming, who: Who) -> Subscribers | None:
    try:
        return served(config, naming.pseudonym, who)
    except StoreError as error:
        raise StartError(f"the subscribers' file cannot be used: {error}") from error


def _gallery(config: LedgerConfig, state_dir: Path, spool: Spool, naming: Naming) -> Gallery | None:
    """None unless asked for; then nothing that was kept before stays."""
    folder = state_dir / shelf.FOLDER
    if not config.gallery_images:
        try:
            shelf.clear(folder)
        except OSError as error:
            raise StartError(f"{folder}: old pictures cannot be deleted ({error.strerror})") from error
        return None
    kept = shelf.Shelf(folder, config.gallery_images, config.rows_days * 86_400)

    def name(client: Client, flow: HTTPFlow) -> str:
        return naming.pseudonym(naming.who(client, flow)) if naming.pseudonym else ""

    return Gallery(kept, spool, draft, name)


def _patience(access: AccessConfig, role: Role) -> Patience:
    """Upstream's clients are its downstreams, which keep connections for all of their own clients and close them."""
    if role == "upstream":
        return Patience(access.head_deadline_s, 0.0, 0)
    return Patience(access.head_deadline_s, access.idle_deadline_s, access.client_connections)


def _targets(config: Config) -> Targets:
    return Targets.configured(config.upstream.allow_private_targets, config.upstream.hosts, config.access.ports)


def _encoded_cache(role: UpstreamConfig, file: Path) -> EncodedCache:
    if not role.shared_cache:
        return EncodedCache(file=file, disk_bytes=role.encoded_cache_bytes)
    try:
        from proxy.encoded_shared import SharedEncodedCache, connect
    except ImportError as error:
        raise StartError(f"shared_cache needs a package ({error}): pip install 'sketchwire[shared]'") from error
    try:
        shared = connect(role)
    except ValueError as error:
        raise StartError(str(error)) from error
    return SharedEncodedCache(shared, role.encode_deadline_s / 2, file=file, disk_bytes=role.encoded_cache_bytes)


def _near_end(role: DownstreamConfig, state_dir: Path) -> NearEnd:
    host, _, port = role.link_upstream.rpartition(":")
    return NearEnd(state_dir / "link", host.strip("[]"), int(port), role.link_repeat_bytes)


def _private_folder(name: str) -> Path:
    """The role's state folder, readable by its user only: the CA's private key is in it."""
    folder = Path(name).expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise StartError(f"state_dir {folder} cannot be used: {error.strerror}; choose another") from error
    return folder


def _combined_trust(state_dir: Path, extra: Path) -> Path:
    """A file with the public authorities and the operator's own: mitmproxy's option replaces the public ones."""
    extra = extra.expanduser()
    _check_certificates(extra, "origin_ca: a PEM file with the certificates to add")
    combined = state_dir / "origin-trust.pem"
    _write_private(combined, Path(certifi.where()).read_bytes() + b"\n" + extra.read_bytes())
    return combined


def _check_certificates(file: Path, advice: str) -> None:
    try:
        ssl.create_default_context(cafile=str(file))
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"{file} cannot be used ({error.strerror or error}); {advice}") from error


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its user can read, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)
    draft.replace(path)
