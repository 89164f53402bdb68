"""The thin link: one persistent, multiplexed, mutually authenticated connection between the two proxies.

In: the downstream proxy's requests, as plain HTTP/1.1 on loopback. Out: the same requests at the upstream proxy's
loopback port, and the answers back. Refuses: whoever is not paired; they get a closed connection and nothing else.

    downstream's mitmproxy → near end ══ TLS 1.3, HTTP/2 ══ far end → upstream's mitmproxy

Reading order: `session` is the protocol without sockets (on the `h2` library), with `schedule` (whose bytes go next),
`frames` and `meter` (whose bytes went); `secure` is TLS without sockets; `wire` joins both to a socket. `dial` and
`near` are the client's side, `far` and `origin` the server's, `heads` and `dropped` say what of a message's head
crosses, `repeats` and `bodies` spare bodies that both ends know. `keys`, `peers`, `codes` and `pairing` say who is who.
docs/link.md has the protocol.
"""
