"""The near end's side of a tunnel: bypassed TLS and WebSockets.

In: a CONNECT of the downstream proxy, or a request for a WebSocket; then bytes. Out: a CONNECT stream, and its bytes.
Refuses: what the far end refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.link import heads
from proxy.link.events import Cut, Fields
from proxy.link.nearstream import NearStream
from proxy.link.schedule import Rank
from proxy.link.tunnel import KIND, connect_fields

if TYPE_CHECKING:
    from proxy.link.local import LocalConnection


class NearTunnel(NearStream):
    """A CONNECT from the downstream proxy, or a WebSocket over plain http, whose request is `opening`."""

    def __init__(self, local: LocalConnection, authority: bytes, opening: bytes = b"", ours: Fields = ()) -> None:
        super().__init__(local)
        self._authority, self._opening, self._ours = authority, opening, ours
        self._tunnelling = False

    def end(self) -> None:
        """The request head of a CONNECT ends at once; only later ends are the tunnel's."""
        if self._tunnelling:
            super().end()

    def lost(self, why: str) -> None:
        """The tunnel is gone."""
        self._wire = None
        self._local.abort()

    def _fields(self) -> tuple[Fields, Rank, bool]:
        return connect_fields(self._authority, self._ours), Rank(3, shared=True), False

    def _head(self, fields: Fields) -> None:
        assert self._wire is not None
        self._wire.meter.label(self._stream_id, KIND)
        status = heads.answer_from_fields(fields)[0]
        if not 200 <= status < 300:
            self._over = True
            self._local.head(502 if self._opening else status, [(b"Content-Length", b"0"), (b"Connection", b"close")])
            return
        self._tunnelling = True
        if self._opening:
            self.came(self._opening)
        else:
            self._local.head(status, [])
        self._local.upgrade()

    def _came(self, data: bytes) -> None:
        self._pass_on(data)

    def _ended(self) -> None:
        if self._wire is not None:
            self._wire.session.send(self._stream_id, b"", ended=True)
            self._wire.handlers.pop(self._stream_id, None)
            self._wire.flush()
        self._over, self._wire = True, None
        self._local.done()

    def _cut(self, event: Cut) -> None:
        self.lost("the tunnel was cut")
