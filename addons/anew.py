"""Lets a request connect to a server anew, although an earlier one could not.

In: mitmproxy's hooks for connections that failed. Out: nothing; the failed request fails. Refuses nothing.

mitmproxy answers every later request of the same client connection to the same server with the first one's error. A
browser keeps one HTTP/2 connection for a site as long as it can: a link that was down for a second while a connection
was being made would be down for that site until the tab is closed, and so would an origin.
"""

from __future__ import annotations

from mitmproxy import connection, tls
from mitmproxy.proxy import server_hooks


class Anew:
    """The addon; it must be added after those that ask why a connection failed."""

    def server_connect_error(self, data: server_hooks.ServerConnectionHookData) -> None:
        """No connection: the flows that wait for it are told why by other means."""
        data.server.error = None

    def tls_failed_server(self, data: tls.TlsData) -> None:
        """A connection, but no TLS."""
        if isinstance(data.conn, connection.Server):
            data.conn.error = None
