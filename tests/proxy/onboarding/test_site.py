from __future__ import annotations

import plistlib
import re
from pathlib import Path

import pytest

from proxy.headers import Headers
from proxy.onboarding import pac, page, place
from proxy.onboarding.certificate import Certificate, read_certificate
from proxy.onboarding.choices import Choice, Choices
from proxy.onboarding.forms import Forms, parse_form
from proxy.onboarding.site import Site, Visit

NOW = 1_800_000_000.0
CA = Certificate(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\x30\x03\x02\x01\x05")
FORM = "application/x-www-form-urlencoded"


class Desk:
    """A site with one client at it."""

    def __init__(self, certificate: Certificate | None = CA) -> None:
        self.choices, self.saves = Choices(), 0
        self.site = Site(lambda: certificate, self.choices, self._saved)

    def _saved(self) -> None:
        self.saves += 1

    def visit(
        self, target: str = "/", method: str = "GET", body: bytes = b"", scheme: str = "http", **fields: str
    ) -> Visit:
        headers = Headers.of((name.replace("_", "-"), value) for name, value in fields.items())
        return Visit(method, scheme, target, headers, "me", ("192.168.1.5", 8080), body)

    def ask(self, target: str = "/", **more: str) -> tuple[int, str]:
        answer = self.site.answer(self.visit(target, **more), NOW)  # type: ignore[arg-type]
        return answer.status, answer.body.decode("utf-8", "replace")

    def token(self) -> str:
        found = re.search(r'name="token" value="(\w+)"', self.ask()[1])
        assert found
        return found[1]

    def choose(self, do: str, address: str = "", now_s: float = NOW, **fields: str) -> int:
        body = f"token={self.token()}&do={do}&address={address}".encode()
        given = {"Origin": place.HTTP, "Content_Type": FORM} | fields
        return self.site.answer(self.visit("/choose", "POST", body, **given), now_s).status


def test_each_choice_is_made_kept_and_undone() -> None:
    desk = Desk()
    for do, address, wanted in (
        ("off", "", Choice(off=True)),
        ("on", "", Choice()),
        ("original-site", "www.example.org", Choice(sites=("example.org",))),
        ("original-site", "example.org", Choice(sites=("example.org",))),
        ("original-page", "example.org/a", Choice(sites=("example.org",), pages=("example.org/a",))),
        ("undo-page", "example.org/a", Choice(sites=("example.org",))),
        ("undo-site", "example.org", Choice()),
    ):
        assert desk.choose(do, address) == 303 and desk.choices.of("me") == wanted
    assert desk.saves == 7 and desk.choices.of("you") == Choice()
    assert desk.choose("explode") == 400 and desk.choose("original-site", "word") == 422 and desk.saves == 7


def test_a_token_ends_after_two_days_and_is_for_one_client_and_origin() -> None:
    forms = Forms()
    token = forms.token("me", place.HTTP, NOW)

    def refused(client: str = "me", origin: str = place.HTTP, now_s: float = NOW, given: str = token) -> bool:
        return forms.why_not(client, origin, origin, None, given, now_s) is not None

    assert not refused() and not refused(now_s=NOW + 86_400)
    assert refused(now_s=NOW + 3 * 86_400) and refused("you") and refused(origin=place.HTTPS)
    assert refused(given="") and refused(given=token.upper()) and refused(given="\udcff")
    assert Forms().why_not("me", place.HTTP, place.HTTP, None, token, NOW) is not None


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/nothing", 404), ("PUT", "/", 405), ("POST", "/", 405), ("GET", "/choose", 404), ("HEAD", "/", 200),
     ("GET", "/original?address=example.org", 200), ("GET", "/../etc/passwd", 404), ("GET", "/ok", 200)],
)  # fmt: skip
def test_paths_and_methods(method: str, target: str, status: int) -> None:
    desk = Desk()
    answer = desk.site.answer(desk.visit(target, method), NOW)
    assert answer.status == status and answer.headers.get("cache-control") == "no-store"


def test_what_people_and_strangers_write_is_escaped_everywhere() -> None:
    evil = "\"><script>alert('x')</script>"
    desk = Desk()
    desk.choices.set("me", Choice(sites=(evil,), pages=(evil,)))
    _, text = desk.ask(f"/original?address={evil}")
    assert "<script" not in text and "&lt;script&gt;" in text and text.count("&quot;&gt;") >= 3


def test_the_page_says_what_was_saved() -> None:
    facts = page.Facts(Choice(), "t", page.Savings(30, 1234, 20_000_000, 15_000_000, 75.0), "AA:BB", "proxy:8080")
    text = page.home(facts).decode()
    assert "75 %" in text and "15.0 MB of 20.0 MB" in text and "1,234 images" in text and "AA:BB" in text
    assert "Nothing yet" in page.home(page.Facts(Choice(), "t", None, None, "p:1")).decode()
    loss = page.Facts(Choice(), "t", page.Savings(30, 1, 100, -10, -10.0), None, "p:1")
    assert "more sent" in page.home(loss).decode()


def test_without_a_certificate_the_page_still_comes() -> None:
    desk = Desk(None)
    assert desk.ask()[0] == 200 and desk.ask("/sketchwire-ca.pem")[0] == 503


def test_the_profile_is_one_that_apple_reads() -> None:
    profile = plistlib.loads(CA.mobileconfig())
    (payload,) = profile["PayloadContent"]
    assert payload["PayloadType"] == "com.apple.security.root" and payload["PayloadContent"] == CA.der
    assert profile["PayloadUUID"] != payload["PayloadUUID"] and CA.mobileconfig() == CA.mobileconfig()


@pytest.mark.parametrize("text", [b"", b"nothing", b"-----BEGIN RSA PRIVATE KEY-----\nAA\n" + CA.pem])
def test_keys_are_never_given_away(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_certificate(text)


@pytest.mark.parametrize(
    ("host", "wanted"), [("192.168.1.5", "192.168.1.5:80"), ("::1", "[::1]:80"), ("box.lan", "box.lan:80")]
)
def test_the_pac_file(host: str, wanted: str) -> None:
    text = pac.pac_file(host, 80)
    assert f'"PROXY {wanted}; DIRECT"' in text and text.count("{") == text.count("}")


@pytest.mark.parametrize("host", ["", 'a"; alert(1)//', "a b", "-a", "a\n"])
def test_no_host_gets_into_the_pac_file_unless_it_is_one(host: str) -> None:
    with pytest.raises(ValueError):
        pac.pac_file(host, 80)
    assert pac.reached_as(f"{host}:80", "10.0.0.1", 8080) == ("10.0.0.1", 8080)


@pytest.mark.parametrize(
    "header", [None, "", "x", "x:", "x:0", "x:99999", "x:1:2:3", ":80", "x:80³", "x:" + "9" * 5000]
)
def test_hosts_that_tell_no_port_are_not_believed(header: str | None) -> None:
    assert pac.reached_as(header, "10.0.0.1", 8080) == ("10.0.0.1", 8080)


@pytest.mark.parametrize(
    ("host", "ours"),
    [("sketchwire.internal", True), ("SketchWire.Internal.", True), ("a.sketchwire.internal", True),
     ("sketchwire.internal.evil.test", False), ("xsketchwire.internal", False), ("", False), (None, False)],
)  # fmt: skip
def test_the_reserved_name(host: str | None, ours: bool) -> None:
    assert place.is_reserved(host) is ours


def test_forms_are_read_once_and_bounded() -> None:
    assert parse_form(f"{FORM}; charset=UTF-8", b"a=1&a=2&b=%20") == {"a": "1", "b": " "}
    for kind, body in ((FORM, b"a=" + b"x" * 9000), (FORM, b"a=\xff"), ("text/plain", b"a=1"), (FORM, b"a=1&" * 50)):
        assert parse_form(kind, body) == {}


def test_the_files_it_serves_are_in_the_package() -> None:
    here = Path(page.__file__).parent
    assert {file.suffix for file in here.iterdir() if file.is_file()} >= {".css", ".svg", ".py"}
