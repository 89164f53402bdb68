"""Users of an LDAP directory: a name is looked up, then the password is tried by signing in with it.

In: a directory's address, names and passwords from strangers. Out: whether they belong together. Refuses: names that
are no subscriber's, empty passwords (which many directories take for an anonymous sign-in), names that match none or
several entries, directories that cannot be reached (nobody is let in then), certificates that cannot be verified.

ldap3 speaks to the directory. mitmproxy's own LDAP authenticator puts names into the filter as they come and verifies
no certificate, so it is not used. Plain ldap:// is upgraded by StartTLS, except on loopback addresses.

Sources: RFC 4511 (LDAP), RFC 4513, section 5.1.2 (unauthenticated bind), RFC 4515 (escapes in filters).
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from proxy.access.exposure import is_loopback
from proxy.access.htpasswd import Users
from proxy.subscribers.account import SubscriberError, check_name

logger = logging.getLogger("sketchwire.subscribers")

TIMEOUT_S = 5.0
NAME = "{name}"

Connect = Callable[["Directory", str, str], Any]


class DirectoryError(ValueError):
    """The directory's settings make no sense; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Directory:
    """Where users are: `url` ldap[s]://host[:port], entries below `base` that match `search` with the name put in.

    `bind_dn` and `password` sign in for the search; both empty: anonymously. `ca` is a file of certificates to trust.
    """

    url: str
    base: str
    search: str = "(uid={name})"
    bind_dn: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("ldap", "ldaps") or not parts.hostname or parts.path.strip("/"):
            raise DirectoryError(f"ldap = {self.url!r}: write ldaps://host or ldaps://host:636")
        if self.search.count(NAME) != 1 or not (self.search.startswith("(") and self.search.endswith(")")):
            raise DirectoryError(f"ldap_filter = {self.search!r}: write a filter with {{name}} once, as (uid={{name}})")
        if not self.base:
            raise DirectoryError("ldap_base is empty: write the entry below which users are, as ou=people,dc=example")


@dataclass(frozen=True, slots=True, repr=False)
class DirectoryUsers(Users):
    """Users whose passwords a directory checks; stands where a password file's users do."""

    directory: Directory | None = None
    connect: Connect | None = None  # stands in for the network in tests

    def check(self, name: str, password: str) -> bool:
        """Whether the password is the user's. Takes a round trip or two, TIMEOUT_S each at most; never raises."""
        assert self.directory is not None
        import ldap3
        from ldap3.core.exceptions import LDAPException

        try:
            check_name(name)
        except SubscriberError:
            return False
        if not password or "\0" in password:
            return False
        connect = self.connect or _connect
        try:
            dn = _find(self.directory, connect, name)
            if dn is None:
                return False
            signed_in = connect(self.directory, dn, password)
            try:
                return bool(signed_in.bound) and signed_in.result["result"] == ldap3.core.results.RESULT_SUCCESS
            finally:
                with suppress(LDAPException, OSError):
                    signed_in.unbind()
        except (LDAPException, OSError) as error:
            logger.warning("the directory cannot say who a user is (%s): nobody is let in", type(error).__name__)
            return False


def users_of(directory: Directory) -> DirectoryUsers:
    """Its users. The digest under which they appear changes with the settings, so that remembered passwords end."""
    return DirectoryUsers({"ldap": str(hash((directory, directory.password)))}, directory)


def read_password(file: str) -> str:
    """The password that signs in for searches, the first line of a file. Raises DirectoryError."""
    if not file:
        return ""
    path = Path(file).expanduser()
    try:
        mode, lines = path.stat().st_mode, path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DirectoryError(f"ldap_password_file: {path} cannot be read ({error})") from None
    if mode & 0o077:
        raise DirectoryError(f"ldap_password_file: {path} can be read by others; chmod 600 {path}")
    if not lines or not lines[0]:
        raise DirectoryError(f"ldap_password_file: {path} is empty")
    return lines[0]


def _find(directory: Directory, connect: Connect, name: str) -> str | None:
    """The one entry of a name."""
    import ldap3
    from ldap3.core.exceptions import LDAPBindError, LDAPException
    from ldap3.utils.conv import escape_filter_chars

    looking = connect(directory, directory.bind_dn, directory.password)
    try:
        if not looking.bound:
            raise LDAPBindError("the sign-in for searches failed: see ldap_bind_dn and ldap_password_file")
        question = directory.search.replace(NAME, escape_filter_chars(name))
        looking.search(directory.base, question, ldap3.SUBTREE, attributes=[ldap3.NO_ATTRIBUTES], size_limit=2)
        entries = [each["dn"] for each in looking.response or [] if each.get("type") == "searchResEntry"]
    finally:
        with suppress(LDAPException, OSError):
            looking.unbind()
    return str(entries[0]) if len(entries) == 1 else None


def _connect(directory: Directory, dn: str, password: str) -> Any:
    """A connection that tried to sign in. Raises LDAPException."""
    import ldap3

    parts = urlsplit(directory.url)
    secure = parts.scheme == "ldaps"
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=directory.ca or None)
    server = ldap3.Server(
        parts.hostname, port=parts.port, use_ssl=secure, tls=tls, get_info=ldap3.NONE, connect_timeout=TIMEOUT_S
    )
    connection: Any = ldap3.Connection(
        server, dn or None, password or None, receive_timeout=TIMEOUT_S, raise_exceptions=False, read_only=True
    )
    connection.open()
    if not secure and not is_loopback(parts.hostname or ""):
        connection.start_tls()
    connection.bind()
    return connection
