"""Answers requests for the proxy's own pages.

In: a request (`Visit`) and what the proxy knows. Out: an `Answer`; changed choices. Refuses: other methods and paths,
changes that were not asked for on our own page, and to be read, framed or loaded by any other site.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl

from proxy.headers import Headers
from proxy.onboarding import pac, page, place, platforms
from proxy.onboarding.certificate import Certificate
from proxy.onboarding.choices import Choice, Choices, NotAnAddress, read_page, read_site
from proxy.onboarding.forms import Forms, parse_form

logger = logging.getLogger("sketchwire.onboarding")

HTML = "text/html; charset=utf-8"
_HERE = Path(__file__).parent
_FILES = {
    "/style.css": ("text/css; charset=utf-8", (_HERE / "style.css").read_bytes()),
    "/icon.svg": ("image/svg+xml", (_HERE / "icon.svg").read_bytes()),
}
_OK = (_HERE / "ok.svg").read_bytes()
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        f"img-src 'self' {place.HTTPS}",
        f"form-action {place.HTTP} {place.HTTPS}",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_CLOSED = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", _POLICY),
    ("Permissions-Policy", "geolocation=(), camera=(), microphone=()"),
    ("Referrer-Policy", "same-origin"),  # not no-referrer: forms would send Origin: null
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
_TYPES = {platforms.PEM: "application/x-pem-file", platforms.DER: "application/x-x509-ca-cert"}


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for one of our pages; `client` is a name for who asks, `proxy` how it reaches us."""

    method: str
    scheme: str
    target: str  # path and query
    headers: Headers
    client: str
    proxy: tuple[str, int]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def origin(self) -> str:
        """The origin of our page that the request was sent to."""
        return f"{self.scheme}://{place.HOST}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer with."""

    status: int
    body: bytes = b""
    media_type: str = HTML
    more: tuple[tuple[str, str], ...] = field(default=())
    shared: bool = False  # may be shown on our page of the other scheme

    @property
    def headers(self) -> Headers:
        """All fields but Content-Length."""
        policy = "cross-origin" if self.shared else "same-origin"
        fields = (("Content-Type", self.media_type), *_CLOSED, ("Cross-Origin-Resource-Policy", policy), *self.more)
        return Headers(fields)


class Site:
    """The pages. `certificate` reads the CA's, `savings` what was saved; `changed` is called after each new choice."""

    def __init__(
        self,
        certificate: Callable[[], Certificate | None],
        choices: Choices,
        changed: Callable[[], None] = lambda: None,
        forms: Forms | None = None,
    ) -> None:
        self._certificate = certificate
        self._choices = choices
        self._changed = changed
        self._forms = forms or Forms()

    def answer(self, visit: Visit, now_s: float, savings: page.Savings | None = None) -> Answer:
        """The answer to a request for http(s)://sketchwire.internal; `now_s` is Unix time."""
        if visit.method == "POST" and visit.path == "/choose":
            return self._choose(visit, now_s, savings)
        if visit.method not in ("GET", "HEAD"):
            return _problem(405, "Not like this", "This page takes GET, and POST from its own forms.", ("Allow", "GET"))
        file = self._file(visit)
        if file is not None:
            return file
        if visit.path in ("/", "/original"):
            asked = dict(parse_qsl(visit.target.partition("?")[2], max_num_fields=16)) if "?" in visit.target else {}
            return self._home(visit, now_s, savings, asked.get("address", "")[:2048])
        if visit.path == "/ok":
            return Answer(200, page.trusted())
        if visit.path == "/ok.svg":
            return self._ok(visit)
        return _problem(404, "There is no such page", "Sketchwire has one page; it starts at the address below.")

    def answer_directly(self, visit: Visit) -> Answer:
        """The answer to who visits the proxy's own address as if it were a web server; nothing there can change."""
        if visit.method not in ("GET", "HEAD"):
            return _problem(405, "Not like this", "This is a proxy's address.", ("Allow", "GET"))
        file = self._file(visit)
        if file is not None:
            return file
        if visit.path == "/":
            certificate = self._certificate()
            fingerprint = certificate.fingerprint if certificate else None
            return Answer(200, page.set_up_page(_where(visit.proxy), fingerprint))
        return _problem(404, "There is no such page", "This is a proxy's address; set your browser's proxy to it.")

    def _file(self, visit: Visit) -> Answer | None:
        """What is the same for everyone."""
        name = visit.path.removeprefix("/")
        if visit.path in _FILES:
            media_type, body = _FILES[visit.path]
            return Answer(200, body, media_type)
        if name == "proxy.pac":
            try:
                return Answer(200, pac.pac_file(*visit.proxy).encode(), pac.MEDIA_TYPE)
            except ValueError:
                return _problem(400, "Which proxy?", "Open this file by the proxy's address.")
        if name not in (platforms.PEM, platforms.DER, platforms.PROFILE):
            return None
        certificate = self._certificate()
        if certificate is None:
            return _problem(503, "No certificate", "It cannot be read at the moment; the log of the proxy says why.")
        if name == platforms.PROFILE:
            return Answer(200, certificate.mobileconfig(), "application/x-apple-aspen-config")
        saved = ("Content-Disposition", f'attachment; filename="{name}"')
        return Answer(200, certificate.pem if name == platforms.PEM else certificate.der, _TYPES[name], (saved,))

    def _home(
        self,
        visit: Visit,
        now_s: float,
        savings: page.Savings | None,
        address: str = "",
        note: str = "",
        status: int = 200,
    ) -> Answer:
        certificate = self._certificate()
        facts = page.Facts(
            choice=self._choices.of(visit.client),
            token=self._forms.token(visit.client, visit.origin, now_s),
            savings=savings,
            fingerprint=certificate.fingerprint if certificate else None,
            proxy=_where(visit.proxy),
            address=address,
            note=note,
        )
        return Answer(status, page.home(facts))

    def _ok(self, visit: Visit) -> Answer:
        """The picture of the self-test, only for our own page: no other site shall learn that the CA is trusted."""
        shown_on = visit.headers.get("referer") or ""
        ours = shown_on.startswith((f"{place.HTTP}/", f"{place.HTTPS}/"))
        if not ours:
            return Answer(403, b"", "text/plain")
        return Answer(200, _OK, "image/svg+xml", shared=True)

    def _choose(self, visit: Visit, now_s: float, savings: page.Savings | None) -> Answer:
        headers, fields = visit.headers, parse_form(visit.headers.get("content-type") or "", visit.body)
        why = self._forms.why_not(
            visit.client,
            visit.origin,
            headers.get("origin"),
            headers.get("sec-fetch-site"),
            fields.get("token", ""),
            now_s,
        )
        if why is not None:
            logger.warning("a change of a client's choices is refused: %s", why)
            return _problem(403, "Nothing was changed", f"The request is refused: {why}.")
        address = fields.get("address", "")
        try:
            chosen = _after(self._choices.of(visit.client), fields.get("do", ""), address)
        except NotAnAddress as error:
            return self._home(visit, now_s, savings, address[:2048], str(error), 422)
        if chosen is None:
            return _problem(400, "Nothing was changed", "There is no such choice.")
        self._choices.set(visit.client, chosen)
        self._changed()
        return Answer(303, b"", "text/plain", (("Location", f"{visit.origin}/"),))


def _after(choice: Choice, action: str, address: str) -> Choice | None:
    """The choices after an action; None for an unknown one. Raises NotAnAddress."""
    if action in ("on", "off"):
        return replace(choice, off=action == "off")
    if action == "original-page":
        wanted = read_page(address)
        return replace(choice, pages=(*(each for each in choice.pages if each != wanted), wanted))
    if action == "original-site":
        wanted = read_site(address)
        return replace(choice, sites=(*(each for each in choice.sites if each != wanted), wanted))
    if action == "undo-page":
        return replace(choice, pages=tuple(each for each in choice.pages if each != address))
    if action == "undo-site":
        return replace(choice, sites=tuple(each for each in choice.sites if each != address))
    return None


def _problem(status: int, title: str, why: str, *more: tuple[str, str]) -> Answer:
    return Answer(status, page.problem(title, why), HTML, tuple(more))


def _where(proxy: tuple[str, int]) -> str:
    host, port = proxy
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
