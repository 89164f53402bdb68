"""Answers for the proxy's own pages, and gives originals to who chose them.

In: requests to http(s)://sketchwire.internal, requests to the proxy as if it were a web server, and all others. Out:
pages, made here and never asked of anyone; requests marked so that their originals come. Refuses: to let a request for
the reserved name leave, however it is written, and to serve a page under any other name.

DNS rebinding: what is worth protecting is served only to requests that name the reserved host as a proxy's client does
(in absolute form, or in a tunnel to it). Who connects to the proxy's own address gets what every stranger may know.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from weakref import WeakSet

from mitmproxy import connection, http
from mitmproxy.proxy import layer, layers
from mitmproxy.proxy.layers.http import HTTPMode

from addons import adapt
from addons.access import cut, turn_away
from proxy.headers import Headers
from proxy.ledger import Place
from proxy.ledger.read import LedgerUnreadable, summary
from proxy.negotiation import ORIGINAL
from proxy.onboarding import page, place
from proxy.onboarding.certificate import Certificate, read_certificate
from proxy.onboarding.choices import Choices, OpenPages, page_of
from proxy.onboarding.forms import MAX_FORM_BYTES
from proxy.onboarding.pac import reached_as
from proxy.onboarding.site import Answer, Site, Visit
from proxy.policy import asks_for_page
from proxy.statefile import read_object, write_object

logger = logging.getLogger("sketchwire.onboarding")

DIRECT, OWN = "direct", "own"
_KIND = "sketchwire-onboarding"  # of a flow's metadata
_SAVINGS_DAYS, _SAVINGS_FRESH_S = 30, 10.0

Who = Callable[[connection.Client, http.HTTPFlow | None], str]


class FrontDoor:
    """Knows requests for our own pages when they come, before anyone is asked for a password.

    What is served to who is not set up yet is answered here: steps, certificate and PAC file at the proxy's address.
    """

    def __init__(self, site: Site | None) -> None:
        self._site = site
        self._tunnels: WeakSet[connection.Client] = WeakSet()

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Let tunnels to our own pages begin, exactly spelt; none other to that name."""
        if flow.response is not None:
            return
        self._tunnels.add(flow.client_conn)
        host, port = flow.request.host, flow.request.port
        if place.is_reserved(host) and (host != place.HOST or port not in place.PORTS.values()):
            turn_away(flow, 403, "Sketchwire does not connect there: this name exists inside the proxy only.")

    def next_layer(self, choice: layer.NextLayer) -> None:
        """In a tunnel to our own pages there is HTTP or nothing: raw bytes must not go to upstream."""
        address = choice.context.server.address
        if address and place.is_reserved(address[0]) and isinstance(choice.layer, layers.TCPLayer):
            choice.layer = layers.HttpLayer(choice.context, HTTPMode.transparent)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Answer who visits the proxy's address; mark what is for our own pages."""
        if flow.response is not None:
            return
        request = flow.request
        if flow.client_conn not in self._tunnels and not request.authority:
            flow.metadata[_KIND] = DIRECT
            self._answer_directly(flow)
        elif place.is_reserved(request.host) or place.is_reserved(request.host_header and _name(request.host_header)):
            flow.metadata[_KIND] = OWN
            if self._site is None or not place.is_exact(
                request.scheme, request.host, request.port, request.host_header
            ):
                turn_away(flow, 421, "There is no such page: the proxy's own is at http://sketchwire.internal/.")

    def _answer_directly(self, flow: http.HTTPFlow) -> None:
        if self._site is None:
            turn_away(flow, 400, "This is a proxy's address.", "Set your browser's proxy to it.")
        elif adapt.large_or_unknown_body(flow.request, MAX_FORM_BYTES):
            cut(flow)
        else:
            _give(flow, self._site.answer_directly(_visit(flow, "")))


class Onboarding:
    """Our own pages, and what people chose there. `who` names clients, `pseudonym` makes a name that means nothing."""

    name = "sketchwire-onboarding"  # mitmproxy has an addon of this class's name

    def __init__(
        self,
        site: Site,
        store: ChoiceStore,
        who: Who,
        ledger: Place | None = None,
    ) -> None:
        self._site = site
        self._store = store
        self._who = who
        self._ledger = ledger
        self._open_pages = OpenPages()
        self._savings: tuple[float, page.Savings | None] = (float("-inf"), None)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Hold what is for our pages until its body is here; mark what somebody wants the original of."""
        if flow.response is not None:
            return
        if flow.metadata.get(_KIND) == OWN:
            if adapt.large_or_unknown_body(flow.request, MAX_FORM_BYTES):
                cut(flow)
            else:
                adapt.refuse(flow, 503, "The page could not be made.", "Try again; the log says why.")
            return
        try:
            self._mark(flow)
        except Exception:
            logger.exception("a choice could not be looked up; the request goes on without it")

    async def request(self, flow: http.HTTPFlow) -> None:
        """Answer what is for our pages."""
        if flow.metadata.get(_KIND) != OWN or flow.response is None or flow.response.status_code != 503:
            return
        try:
            visit = _visit(flow, self._store.name(self._who(flow.client_conn, flow)))
            savings = await self._saved() if visit.path in ("/", "/original", "/choose") else None
            _give(flow, self._site.answer(visit, time.time(), savings))
        except Exception:
            logger.exception("a page of ours could not be made")

    async def done(self) -> None:
        """Finish what is being written."""
        await self._store.wait()

    def _mark(self, flow: http.HTTPFlow) -> None:
        client = self._store.name(self._who(flow.client_conn, flow))
        facts = adapt.request_facts(flow)
        url = flow.request.url
        if asks_for_page(facts):
            self._open_pages.opened(client, url)
        choice = self._store.choices.of(client)
        if not choice or ORIGINAL.lower() in flow.request.headers:
            return
        where = page_of(url)
        shown_on = self._open_pages.page(client, facts.headers.get("referer"))
        if where is not None and choice.wants_original(where, shown_on):
            flow.request.headers[ORIGINAL] = "1"

    async def _saved(self) -> page.Savings | None:
        made_s, savings = self._savings
        if time.monotonic() - made_s < _SAVINGS_FRESH_S or self._ledger is None:
            return savings
        since_s = time.time() - _SAVINGS_DAYS * 86_400
        try:
            totals = (await asyncio.to_thread(summary, self._ledger, since_s, "downstream")).totals
        except LedgerUnreadable:
            savings = None
        else:
            savings = page.Savings(
                _SAVINGS_DAYS, totals.images, totals.origin_bytes, totals.saved_bytes, totals.saved_percent
            )
        self._savings = (time.monotonic(), savings)
        return savings


class ChoiceStore:
    """Choices and the file they are kept in. `pseudonym` turns who a client is into a name that means nothing."""

    def __init__(self, choices: Choices, file: Path, pseudonym: Callable[[str], str]) -> None:
        self.choices = choices
        self.name = pseudonym
        self._file = file
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = False
        choices.load(read_object(file))

    def save(self) -> None:
        """Write the choices soon; returns at once."""
        self._unsaved = True
        if self._saving is None or self._saving.done():
            self._saving = asyncio.get_running_loop().create_task(self._write())

    async def wait(self) -> None:
        """Wait until everything is written."""
        if self._saving is not None:
            await self._saving

    async def _write(self) -> None:
        while self._unsaved:
            self._unsaved = False
            try:
                await asyncio.to_thread(write_object, self._file, self.choices.saved())
            except OSError as error:
                logger.warning("choices cannot be kept (%s); they hold until a restart", error.strerror)


def certificate_reader(file: Path) -> Callable[[], Certificate | None]:
    """Reads the CA's certificate once; None, and a line in the log, while that does not work."""
    found: list[Certificate] = []

    def read() -> Certificate | None:
        if not found:
            try:
                found.append(read_certificate(file.read_bytes()))
            except (OSError, ValueError) as error:
                logger.warning("the CA's certificate cannot be shown: %s", error)
                return None
        return found[0]

    return read


def _visit(flow: http.HTTPFlow, client: str) -> Visit:
    request = flow.request
    address, port = flow.client_conn.sockname[:2]
    direct = flow.metadata.get(_KIND) == DIRECT
    return Visit(
        method=request.method,
        scheme=request.scheme,
        target=request.path,
        headers=adapt.headers_of(request),
        client=client,
        proxy=reached_as(request.host_header if direct else None, str(address), int(port)),
        body=request.raw_content or b"",
    )


def _give(flow: http.HTTPFlow, answer: Answer) -> None:
    body = b"" if flow.request.method == "HEAD" else answer.body
    headers: Headers = answer.headers.adding(("Content-Length", str(len(answer.body))))
    adapt.answer(flow, answer.status, headers, body)


def _name(host_header: str) -> str:
    """The host of a Host field."""
    return host_header.rpartition(":")[0] if host_header.rpartition(":")[2].isdigit() else host_header
