"""Serves subscribers on their terms: who is unknown or has nothing left gets a page, the others their tier.

In: requests and tunnels of whom `Passwords` let in, or of whose network an address is. Out: the same; marked for their
originals, with the tier that upstream is to keep to, or answered with a page. Refuses: connections to upstream for
whoever is refused, so that no sealed tunnel gets around a quota.

Terms are looked up with each request, in memory; a TLS connection that began before its subscriber was switched `off`
stays as it began, and so does one that began after. A page can be shown inside of TLS only where it is opened, so a
tunnel of somebody whose quota is used up is let begin, and ends at the first connection to upstream.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from mitmproxy import connection, http
from mitmproxy.proxy import server_hooks

from addons import adapt
from addons.access import turn_away
from addons.exchange import KEY, DownstreamExchange
from proxy.config import Config, SubscribersConfig
from proxy.ledger import Row
from proxy.negotiation import ACCEPT, ORIGINAL, WORDS, format_accept
from proxy.onboarding.place import is_reserved
from proxy.subscribers.admission import congestion_of, file_of, rules_of, zone
from proxy.subscribers.book import Book
from proxy.subscribers.decide import OFF, Refuse, Serve, Verdict

logger = logging.getLogger("sketchwire.subscribers")

Who = Callable[[connection.Client, http.HTTPFlow | None], str]
_USER, _ADDRESS = "user ", "address "
_OFFERS = frozenset((ACCEPT.lower(), WORDS.lower()))


class Subscribers:
    """The addon; it comes after passwords and our own pages. `who` names clients as `Passwords` does."""

    name = "sketchwire-subscribers"

    def __init__(self, book: Book, who: Who, by_network: bool = False) -> None:
        self._book = book
        self._who = who
        self._by_network = by_network
        self.tier = SubscriberTier(self._verdict, self.who)
        self.answers: Counter[str] = Counter()  # requests by reason

    def configure(self, told: SubscribersConfig) -> None:
        """Keep to other rules from now on, and read the accounts again."""
        self._book.rules, self._book.zone = rules_of(told), zone(told)
        self._book.congestion.configure(told.link_kbit_s * 1000 / 8, told.congested_percent / 100)
        self._book.reload(0.0)

    def who(self, client: connection.Client, flow: http.HTTPFlow | None = None) -> str:
        """`user NAME` of a subscriber who is known by password or network; else as `Passwords` says."""
        told = self._who(client, flow)
        found = self._book.at(told.removeprefix(_ADDRESS)) if self._by_network else None
        return f"{_USER}{found}" if found is not None else told

    def who_and_tier(self, client: connection.Client, flow: http.HTTPFlow | None = None) -> str:
        """The same with the tier that holds now: what was stored on other terms is another's."""
        told = self.who(client, flow)
        verdict = self._verdict(told)
        return f"{told} {verdict.tier}" if isinstance(verdict, Serve) else told

    def is_off(self, told: str) -> bool:
        """Whether nothing of somebody's may be opened; `told` is what `who` gave."""
        verdict = self._verdict(told)
        return isinstance(verdict, Serve) and verdict.tier == OFF

    def charging(self, record: Callable[[Row], None]) -> Callable[[Row], None]:
        """`record`, which counts rows' bytes against quotas, and the link's use."""

        def charge(row: Row) -> None:
            try:
                self._book.charge(row.subscriber, row.link_bytes + row.refetch_bytes, (row.total_ms or 0.0) / 1000)
            except Exception:
                logger.exception("bytes are not counted against a quota")
            record(row)

        return charge

    # hooks

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Turn away who is refused, unless a page can be shown inside."""
        if flow.response is None and not is_reserved(flow.request.host):
            verdict = self._verdict_for(flow)
            if isinstance(verdict, Refuse) and not verdict.opens:
                _turn_away(flow, verdict)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Turn away who is refused; mark what is to be left alone."""
        if flow.response is not None:
            return
        verdict = self._verdict_for(flow)
        if isinstance(verdict, Refuse):
            self.answers[str(verdict.status)] += 1
            _turn_away(flow, verdict)
            return
        self.answers[verdict.why] += 1
        if verdict.tier == OFF:
            flow.request.headers[ORIGINAL] = "1"

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """No way to upstream for who is refused; plain tunnels come only here."""
        try:
            verdict = self._verdict(self.who(data.client))
        except Exception:
            logger.exception("a connection could not be judged and is not made")
            data.server.error = "Sketchwire could not look up the subscriber."
            return
        # outside of tunnels a password comes with each request, and each was judged
        if isinstance(verdict, Refuse) and self.who(data.client).startswith(_USER):
            data.server.error = verdict.why

    def done(self) -> None:
        """Write what is left."""
        self._book.close()

    # what they do

    def _verdict(self, told: str) -> Verdict:
        return self._book.verdict(told.removeprefix(_USER) if told.startswith(_USER) else None)

    def _verdict_for(self, flow: http.HTTPFlow) -> Verdict:
        try:
            return self._verdict(self.who(flow.client_conn, flow))
        except Exception:
            logger.exception("a subscriber could not be looked up and is refused")
            return Refuse(503, "Sketchwire could not look up your subscription.", "Try again; the log says why.")


def served(config: Config, pseudonym: Callable[[str], str] | None, who: Who) -> Subscribers | None:
    """The addon as configured; None where there are no subscribers. Raises StoreError."""
    told = config.subscribers
    if not told.enabled or pseudonym is None:
        return None
    book = Book(file_of(config), rules_of(told), zone(told), pseudonym, congestion_of(told))
    return Subscribers(book, who, by_network=told.accounts == "network")


class SubscriberTier:
    """After the role's addon: writes the tier into what upstream is told; `verdict` takes what `who` gives."""

    name = "sketchwire-subscriber-tier"

    def __init__(self, verdict: Callable[[str], Verdict], who: Who) -> None:
        self._verdict = verdict
        self._who = who

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Tell upstream the subscriber's tier; a request for which that fails is not sent."""
        try:
            self._tell(flow)
        except Exception:
            logger.exception("a subscriber's tier could not be told; the request is not sent")
            adapt.refuse(flow, 502, "The request could not be handled.", "Try again; the log says why.")

    def _tell(self, flow: http.HTTPFlow) -> None:
        exchange = flow.metadata.get(KEY)
        if flow.response is not None or not isinstance(exchange, DownstreamExchange) or exchange.accept is None:
            return
        verdict = self._verdict(self._who(flow.client_conn, flow))
        if not isinstance(verdict, Serve) or verdict.tier == exchange.accept.tier:
            return
        if verdict.tier == OFF:  # then upstream need not know what could be drawn, nor either side read the page
            exchange.accept = exchange.words = None
            exchange.sent = exchange.sent.without(_OFFERS)
        else:
            exchange.accept = replace(exchange.accept, tier=verdict.tier)
            told = (ACCEPT, format_accept(exchange.accept))
            exchange.sent = exchange.sent.without({ACCEPT.lower()}).adding(told)
        adapt.set_headers(flow.request, exchange.sent)
        exchange.request_bytes = adapt.request_head_bytes(flow)


def _turn_away(flow: http.HTTPFlow, verdict: Refuse) -> None:
    more = []
    if verdict.again is not None:
        more.append(("Retry-After", str(max(1, round(verdict.again.timestamp() - time.time())))))
    turn_away(flow, verdict.status, verdict.why, verdict.advice, *more)
