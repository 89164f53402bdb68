"""The admin port of a proxy: counts rows and flows, and serves what was counted.

In: ledger rows, flows' beginnings and ends, mitmproxy's start and end. Out: rows handed on to the ledger, `/metrics` on
the admin port, where there is one. Refuses: to keep a proxy from starting; a port in use is said in the log.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aiohttp import web

from addons.underway import UnderWay
from proxy import __version__
from proxy.admin.server import AdminError, AdminServer, Metered, is_loopback, load_token
from proxy.config import AdminConfig
from proxy.ledger import Ledger, Row
from proxy.ledger.row import Role
from proxy.metrics.definitions import CONTENT_TYPE, Metrics

logger = logging.getLogger("sketchwire.admin")


class AdminPort(UnderWay):
    """The addon of one role; `record` is what rows go to. `routes` are served beside the metrics."""

    def __init__(
        self,
        role: Role,
        config: AdminConfig,
        state_dir: Path,
        ledger: Ledger,
        routes: Iterable[web.AbstractRouteDef] = (),
    ) -> None:
        super().__init__()
        self.metrics = Metrics(role, __version__)
        self._config = config
        self._port = config.upstream_port if role == "upstream" else config.downstream_port
        self._token_file = Path(config.token_file).expanduser() if config.token_file else state_dir / "admin.token"
        self._ledger = ledger
        self._routes = routes
        self._server: AdminServer | None = None
        self.watch("sketchwire_flows_in_progress", lambda: len(self._under_way))
        self.watch("sketchwire_ledger_queued_rows", lambda: ledger.queued)
        self.watch("sketchwire_ledger_written_rows", lambda: ledger.written)
        self.watch("sketchwire_ledger_dropped_rows", lambda: ledger.dropped)

    def record(self, row: Row) -> None:
        """Count a row and hand it on to the ledger."""
        try:
            self.metrics.observe(row)
        except Exception:  # the ledger counts what it cannot take
            logger.exception("a row could not be counted")
        self._ledger.record(row)

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Show a number of one of the proxy's parts."""
        self.metrics.watch(name, read)

    def watch_failures(self, failures: Counter[str]) -> None:
        """Show how often a hook of ours had a defect."""
        self.metrics.watch("sketchwire_hook_failures", lambda: sum(failures.values()))

    def told(self) -> dict[str, Any]:
        """For the ready file."""
        return {"admin_port": self._server.port} if self._server is not None else {}

    # hooks

    async def running(self) -> None:
        """Open the port."""
        if not self._port:
            return
        try:
            asks = self._config.ask_on_loopback or not is_loopback(self._config.host)
            token = load_token(self._token_file) if asks else ""
            metered = Metered(CONTENT_TYPE, self.metrics.text)
            server = AdminServer(self._config.host, self._port, metered, token, self._routes)
            await server.start()
        except AdminError as error:
            logger.error("there is no admin port: %s", error)
            return
        self._server = server
        logger.info("admin port %d of %s", server.port, self._config.host)

    async def done(self) -> None:
        """Close it."""
        if self._server is not None:
            await self._server.stop()
