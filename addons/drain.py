"""Ends a proxy without cutting anyone off: no new connections, then what is under way finishes, up to a limit.

In: flows' beginnings and ends, a signal. Out: a stopped master. Refuses: to wait longer than the limit for flows that
don't end, such as event streams.

mitmproxy itself exits on SIGTERM at once and cuts every flow in flight.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from addons.underway import UnderWay

logger = logging.getLogger("sketchwire.run")

_LOOK_EVERY_S = 0.05


class Drain(UnderWay):
    """Counts flows under way. It must be the last addon, so that every other one is done with a flow that ended."""

    def __init__(self, limit_s: float = 10.0) -> None:
        super().__init__()
        self._limit_s = limit_s
        self._started = False

    async def stop(self, master: Any) -> None:
        """Stop listening, wait for flows and what is still to be written, end the master; a second call ends it now."""
        if not self._started:
            self._started = True
            proxyserver = master.addons.get("proxyserver")
            await proxyserver.servers.update([])
            try:
                async with asyncio.timeout(self._limit_s):
                    while self._under_way or _unwritten_bytes(proxyserver):
                        await asyncio.sleep(_LOOK_EVERY_S)
            except TimeoutError:
                logger.warning("%d requests are cut: they did not finish in time", len(self._under_way))
        master.shutdown()


def _unwritten_bytes(proxyserver: object) -> int:
    """Bytes that were handed to sockets and wait in this process."""
    total = 0
    for handler in list(getattr(proxyserver, "connections", {}).values()):
        for io in list(handler.transports.values()):
            transport = getattr(io.writer, "transport", None)
            if transport is not None and not transport.is_closing():
                total += transport.get_write_buffer_size()
    return total
