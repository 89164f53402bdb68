"""The HTTP cache around a role's addon: answers requests from the store, validates what is stale, keeps what comes.

In: flows, as they are on the far side of the role's addon: what goes out to the next server, what comes back. Out: the
store's answers in place of a server's; bodies copied to the store while they pass. Refuses: requests whose address and
Host differ, with bodies, with conditions a cache cannot judge; on any defect a request goes on as without a cache.

Two addons share the work, for mitmproxy calls all hooks in one order. `Behind` comes after the role's addon and sees
requests as they leave; `Before` comes in front of it and sees answers as they arrive. So the role's addon treats an
answer from the store as if a server had sent it: upstream encodes stored originals, downstream draws stored bundles.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mitmproxy import connection, http
from mitmproxy.net.http import url as urls

from addons import adapt, staleanswer
from addons.exchange import KEY, DownstreamExchange, UpstreamExchange
from addons.staleanswer import FALLBACK
from proxy.cache.background import Background
from proxy.cache.control import Control, read_control
from proxy.cache.invalidation import SAFE, invalidated
from proxy.cache.keys import KeyMaker, Keys
from proxy.cache.lifetime import Fresh, Stale, age_s, judge
from proxy.cache.reply import Reply, reply
from proxy.cache.storable import Exchanged, Keep, judge_store
from proxy.cache.store import Draft, Found, Store
from proxy.cache.validation import CONDITIONS, HARD_CONDITIONS, confirms, freshened, validators
from proxy.cache.vary import matches
from proxy.config import CacheConfig
from proxy.headers import Headers
from proxy.ledger.row import Role, Row
from proxy.policy import ResponseFacts
from proxy.statefile import local_key
from proxy.through import Answer

logger = logging.getLogger("sketchwire.cache")

FOLDER, KEY_FILE = "http-cache", "local.key"  # in a role's state folder
VISIT = "sketchwire_http_cache"  # of a flow's metadata
IN_HAND_BYTES = 64 * 1024 * 1024  # of stored bodies in memory at a time; beyond, requests go on
_ERRORS = frozenset((500, 502, 503, 504))  # RFC 5861, section 4
_MAX_ERROR_BYTES = 1024 * 1024
HIT, STALE, VALIDATED = "hit", "stale", "validated"  # how an answer came from the store

Who = Callable[[connection.Client, http.HTTPFlow | None], str]


@dataclass(frozen=True, slots=True)
class Settings:
    """`shared`: one store for all people, or one each; `unreachable_s`: how long stale answers serve as a last resort;
    `tells`: whether answers from the store carry Cache-Status (RFC 9211)."""

    shared: bool
    unreachable_s: float
    tells: bool


@dataclass(slots=True)
class Visit:
    """One request and what the cache knows about it. `request` is as it leaves, without fields added here."""

    keys: Keys
    method: str
    url: str
    request: Headers
    asked: Control
    requested_s: float
    found: Found | None = None
    body: bytes | None = None  # of `found`, read and checked
    stale: Stale | None = None
    validates: bool = False  # a condition was added here
    how: str = ""  # HIT, STALE or VALIDATED: the answer is the store's
    sent: bytes = b""  # of the body, when the answer is the store's
    keep: Keep | None = None
    length: int | None = None
    draft: Draft | None = None
    in_hand_bytes: int = 0


@dataclass(slots=True)
class HttpCache:
    """What both addons share. `who` names a request's client, where each has a store of their own."""

    store: Store
    keys: KeyMaker
    settings: Settings
    who: Who = lambda client, flow: ""
    background: Background | None = None
    background_cost: Callable[[Answer], None] = lambda came: None
    clock_s: Callable[[], float] = time.time
    in_hand_bytes: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def before(self) -> Before:
        """The addon to put in front of the role's."""
        return Before(self)

    @property
    def behind(self) -> Behind:
        """The addon to put after the role's."""
        return Behind(self)

    def failed(self, where: str) -> None:
        """Count and log a defect."""
        self.failures[f"cache {where}"] += 1
        logger.exception("defect in the HTTP cache's %s; the request goes on without it", where)

    async def take(self, visit: Visit, found: Found) -> bool:
        """Read the body of `found`; False if it is gone or there are too many in hand."""
        if self.in_hand_bytes + found.size_bytes > IN_HAND_BYTES:
            return False
        self.in_hand_bytes += found.size_bytes
        visit.in_hand_bytes += found.size_bytes
        visit.body = await self.store.read(found)
        return visit.body is not None

    def release(self, visit: Visit) -> None:
        """The flow is done with its body."""
        self.in_hand_bytes -= visit.in_hand_bytes
        visit.in_hand_bytes = 0

    def answer(self, visit: Visit, how: str, age: float | None) -> Reply:
        """The store's answer to a visit whose body is in hand."""
        assert visit.found is not None and visit.body is not None
        made = reply(visit.found.stored, len(visit.body), visit.method, visit.request, age)
        visit.how, visit.sent = how, visit.body[made.first : made.end]
        self.answers[how] += 1
        if not self.settings.tells:
            return made
        told = {HIT: "hit", STALE: "hit; detail=stale", VALIDATED: "fwd=stale; fwd-status=304"}[how]
        return replace(made, headers=made.headers.adding(("Cache-Status", f"sketchwire; {told}")))

    def keep_head(self, visit: Visit, found: Found, answer: Headers, now_s: float) -> Found | None:
        """Bring a stored head up to date with a 304; None, and it is forgotten, if it may be kept no longer."""
        stored = freshened(found.stored, answer, visit.requested_s, now_s)
        judged = judge_store(_exchanged(visit, stored.status, stored.headers, now_s), self.settings.shared)
        if not isinstance(judged, Keep) or _key(visit, judged) != found.key:
            self.store.remove(found)
            return None
        self.store.update(found, stored)
        return replace(found, stored=stored)


def http_cache(config: CacheConfig, role: Role, state_dir: Path, who: Who | None = None) -> HttpCache | None:
    """The cache of a role as configured, its store still closed; None where it is switched off."""
    downstream = role == "downstream"
    max_bytes = config.downstream_bytes if downstream else config.upstream_bytes
    if not config.enabled or not max_bytes:
        return None
    staleanswer.install()
    shared = not downstream or config.downstream_shared
    return HttpCache(
        Store(state_dir / FOLDER, max_bytes, config.max_object_bytes),
        KeyMaker(local_key(state_dir / KEY_FILE), shared),
        Settings(shared, config.unreachable_s, tells=downstream),
        who if who is not None and not shared else lambda client, flow: "",
    )


def validation_row(came: Answer) -> Row:
    """What it cost to validate a stored answer meanwhile; it belongs to no response."""
    return Row(
        time_s=time.time(),
        role="downstream",
        decision="overhead",
        image=False,
        link_bytes=came.up_bytes + came.down_bytes,
        link_up_bytes=came.up_bytes,
    )


class Behind:
    """After the role's addon: requests as they leave."""

    name = "sketchwire-cache-behind"

    def __init__(self, cache: HttpCache) -> None:
        self._cache = cache

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Answer from the store, or add what may make the answer a 304."""
        exchange = flow.metadata.get(KEY)
        if flow.response is not None or exchange is None:
            return
        try:
            await self._ask(flow, exchange)
        except Exception:
            self._cache.failed("requestheaders")

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Copy a body that streams; show the role's addon one that comes from the store."""
        visit, exchange = flow.metadata.get(VISIT), flow.metadata.get(KEY)
        if visit is None or flow.response is None or exchange is None:
            return
        try:
            if visit.how:
                exchange.from_cache = visit.how
                if exchange.tally is not None:
                    exchange.tally(visit.sent)  # the answer's stream function is not called for it
                flow.response.stream = False
            elif visit.keep is not None and flow.response.stream:
                visit.draft = self._cache.store.draft()
                if visit.draft is not None:
                    flow.response.stream = _Copying(flow.response.stream, visit.draft)
        except Exception:
            self._cache.failed("responseheaders")

    async def _ask(self, flow: http.HTTPFlow, exchange: UpstreamExchange | DownstreamExchange) -> None:
        cache, request = self._cache, adapt.headers_of(flow.request)
        method = exchange.request.method
        if not _is_plain(flow, request):
            return
        client = cache.who(flow.client_conn, flow)
        original = exchange.forced_original and isinstance(exchange, DownstreamExchange)
        keys = cache.keys.keys(exchange.url, client, request, original)
        asked = read_control(request)
        visit = Visit(keys, method, exchange.url, request, asked, cache.clock_s())
        if method not in SAFE:
            flow.metadata[VISIT] = visit
            return
        if method not in ("GET", "HEAD") or "no-store" in asked or any(name in request for name in HARD_CONDITIONS):
            return
        flow.metadata[VISIT] = visit
        if cache.store.knows(keys):
            every = await cache.store.find(keys)
            visit.found = next((each for each in every if matches(each.stored.nominated, request)), None)
        if not _reloads(asked, request) and visit.found is not None:
            await self._use(flow, visit, visit.found)
        if "only-if-cached" in asked and flow.response is None:  # section 5.2.1.7
            adapt.refuse(flow, 504, "This is not in the cache, and the request says not to ask for it.")
            flow.metadata.pop(VISIT, None)
            cache.release(visit)

    async def _use(self, flow: http.HTTPFlow, visit: Visit, found: Found) -> None:
        cache, now_s = self._cache, self._cache.clock_s()
        verdict = judge(found.stored, visit.asked, now_s, cache.settings.shared, cache.settings.unreachable_s)
        if isinstance(verdict, Fresh):
            if await cache.take(visit, found):
                _give(flow, cache.answer(visit, HIT, verdict.age_s), visit)
            return
        visit.stale = verdict
        simple = visit.method == "GET" and not any(name in visit.request for name in (*CONDITIONS, "range"))
        questions = validators(found.stored) if simple else ()
        wants_body = questions or verdict.while_revalidate or verdict.if_error or verdict.if_unreachable
        if not wants_body or not await cache.take(visit, found):
            return
        if verdict.while_revalidate and simple and self._validate_meanwhile(visit, found, questions):
            _give(flow, cache.answer(visit, STALE, verdict.age_s), visit)
            return
        if verdict.if_unreachable:
            flow.metadata[FALLBACK] = self._fallback
        if questions:
            visit.validates = True
            adapt.set_headers(flow.request, visit.request.adding(*questions))

    def _fallback(self, flow: http.HTTPFlow) -> http.Response | None:
        """Nobody can be reached: what is stored, stale (section 4.2.4)."""
        visit: Visit = flow.metadata[VISIT]
        if visit.found is None or visit.body is None:
            return None
        made = self._cache.answer(visit, STALE, age_s(visit.found.stored, self._cache.clock_s()))
        logger.info("a stored answer stands in for one that cannot be had")
        return _response(made, visit)

    def _validate_meanwhile(self, visit: Visit, found: Found, questions: tuple[tuple[str, str], ...]) -> bool:
        cache = self._cache
        if cache.background is None:
            return False

        def done(came: Answer) -> None:
            cache.background_cost(came)
            now_s = cache.clock_s()
            if came.status == 304 and questions:
                cache.keep_head(visit, found, came.headers, now_s)
                return
            judged = judge_store(_exchanged(visit, came.status, came.headers, now_s), cache.settings.shared)
            draft = cache.store.draft() if isinstance(judged, Keep) else None
            if isinstance(judged, Keep) and draft is not None:
                draft.write(came.body)
                draft.commit(
                    _key(visit, judged), visit.keys.place, judged.stored, came.headers.number("content-length")
                )

        return cache.background.start(found.key, visit.url, visit.request.adding(*questions), done)


class Before:
    """In front of the role's addon: answers as they arrive."""

    name = "sketchwire-cache-before"

    def __init__(self, cache: HttpCache) -> None:
        self._cache = cache

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Put what is stored in place of a 304 or an error, or decide whether to keep what comes."""
        visit = flow.metadata.get(VISIT)
        if visit is None or flow.response is None or visit.how:
            return
        try:
            self._came(flow.response, visit)
        except Exception:
            self._cache.failed("responseheaders")

    def response(self, flow: http.HTTPFlow) -> None:
        """A body is complete: hand out the stored one, or keep this one."""
        visit = flow.metadata.get(VISIT)
        if visit is None or flow.response is None:
            return
        try:
            self._over(flow.response, visit)
        except Exception:
            self._cache.failed("response")
        finally:
            self._cache.release(visit)

    def error(self, flow: http.HTTPFlow) -> None:
        """The flow ended early: half a body is none."""
        visit = flow.metadata.get(VISIT)
        if visit is not None:
            if visit.draft is not None:
                visit.draft.drop()
            self._cache.release(visit)

    def _came(self, response: http.Response, visit: Visit) -> None:
        cache, facts, now_s = self._cache, adapt.response_facts(response), self._cache.clock_s()
        if visit.method not in SAFE:
            places = [
                cache.keys.place(url) for url in invalidated(visit.method, visit.url, facts.status, facts.headers)
            ]
            if places:
                cache.store.invalidate(places)
            return
        if facts.status == 304:
            self._not_modified(response, visit, facts, now_s)
        elif facts.status in _ERRORS and visit.stale is not None and visit.stale.if_error and visit.body is not None:
            if (facts.headers.number("content-length") or 0) <= _MAX_ERROR_BYTES:
                assert visit.found is not None
                _put(response, cache.answer(visit, STALE, age_s(visit.found.stored, now_s)))
        else:
            self._judge(response, visit, facts, now_s)

    def _not_modified(self, response: http.Response, visit: Visit, facts: ResponseFacts, now_s: float) -> None:
        cache, found = self._cache, visit.found
        if found is None:
            return
        if not visit.validates:  # the client's own question
            if confirms(facts.headers, found.stored):
                cache.keep_head(visit, found, facts.headers, now_s)
            return
        stored = found.stored
        try:
            kept = cache.keep_head(visit, found, facts.headers, now_s)
            stored = kept.stored if kept else freshened(found.stored, facts.headers, visit.requested_s, now_s)
        except Exception:  # the client did not ask for a 304
            cache.failed("validation")
        visit.found = replace(found, stored=stored)
        made = cache.answer(visit, VALIDATED, age_s(stored, now_s))
        cookies = [("Set-Cookie", value) for value in facts.headers.get_all("set-cookie")]
        _put(response, replace(made, headers=made.headers.adding(*cookies)))

    def _judge(self, response: http.Response, visit: Visit, facts: ResponseFacts, now_s: float) -> None:
        judged = judge_store(_exchanged(visit, facts.status, facts.headers, now_s), self._cache.settings.shared)
        visit.length = facts.headers.number("content-length")
        framed = visit.length is not None or "chunked" in facts.headers.tokens("transfer-encoding")
        # section 3.3: a body that ends with its connection may have been cut
        whole = framed or response.http_version.startswith(("HTTP/2", "HTTP/3"))
        if isinstance(judged, Keep) and whole and (visit.length or 0) <= self._cache.store.max_object_bytes:
            visit.keep = judged
        elif visit.found is not None and visit.method == "GET" and facts.status == 200:
            self._cache.store.remove(visit.found)  # it is not what this address gives any more

    def _over(self, response: http.Response, visit: Visit) -> None:
        if visit.how:
            response.raw_content = visit.sent
            response.trailers = None
        elif visit.keep is not None:
            if visit.draft is None and not response.stream and response.raw_content is not None:
                visit.draft = self._cache.store.draft()
                if visit.draft is not None:
                    visit.draft.write(response.raw_content)
            if visit.draft is not None:
                visit.draft.commit(_key(visit, visit.keep), visit.keys.place, visit.keep.stored, visit.length)


class _Copying:
    """A stream function that hands what passes to a draft, too."""

    def __init__(self, inner: Any, draft: Draft) -> None:
        self._inner = inner if callable(inner) else lambda chunk: chunk
        self._draft = draft

    def __call__(self, chunk: bytes) -> Any:
        self._draft.write(chunk)
        return self._inner(chunk)


def _is_plain(flow: http.HTTPFlow, request: Headers) -> bool:
    """Whether the request is for what its address names, and nothing but its head says what it wants.

    Who can put one name in the address and another in Host, or in TLS, could have the answer of the one kept as that of
    the other.
    """
    if "upgrade" in request or "transfer-encoding" in request or (request.number("content-length") or 0) > 0:
        return flow.request.method.upper() not in SAFE
    named = flow.request.host_header
    if named is not None:
        try:
            host, port = urls.parse_authority(named, check=True)
        except ValueError:
            return False
        port = port or urls.default_port(flow.request.scheme)
        if (host.lower().strip("[]"), port) != (flow.request.host.lower().strip("[]"), flow.request.port):
            return False
    shown = flow.client_conn.sni if flow.client_conn.tls and flow.request.scheme == "https" else None
    return shown is None or shown.lower() == flow.request.host.lower()


def _reloads(asked: Control, request: Headers) -> bool:
    """Sections 5.2.1.4 and 5.4: the client wants the origin's answer."""
    return "no-cache" in asked or (not asked and "no-cache" in request.tokens("pragma"))


def _exchanged(visit: Visit, status: int, answer: Headers, now_s: float) -> Exchanged:
    return Exchanged(visit.method, visit.request, status, answer, visit.requested_s, now_s, has_query="?" in visit.url)


def _key(visit: Visit, keep: Keep) -> bytes:
    return visit.keys.personal if keep.personal and visit.keys.personal is not None else visit.keys.common


def _give(flow: http.HTTPFlow, made: Reply, visit: Visit) -> None:
    flow.response = _response(made, visit)
    flow.request.stream = False


def _response(made: Reply, visit: Visit) -> http.Response:
    response = http.Response.make(made.status, visit.sent, ())
    adapt.set_headers(response, made.headers)
    return response


def _put(response: http.Response, made: Reply) -> None:
    """The stored head in place of the one that came; the body follows when that one's is over."""
    response.status_code, response.reason = made.status, ""
    adapt.set_headers(response, made.headers)
