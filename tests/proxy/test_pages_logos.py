import pytest

from proxy.pages import PageMemory, address_says_logo, page_images

PAGE = "https://shop.example/en/shoes/"
BASE = "https://shop.example"


def logos(html: str, page: str = PAGE) -> set[str]:
    return {url.removeprefix(BASE) for url in page_images(html, page).logos}


@pytest.mark.parametrize(
    "html",
    [
        '<img src="/a.png" class="site-logo">',
        '<img src="/a.png" class="siteLogo--large">',
        '<img src="/a.png" id="logo2x">',
        '<img src="/a.png" alt="Acme logo">',
        '<img src="/a.png" alt="Acme brand">',
        '<img src="/a.png" title="Menu icon">',
        '<a href="/" class="x"><img src="/a.png"></a>',
        '<a href="/"><span>Acme</span><img src="/a.png"></a>',
        '<a href="https://www.shop.example/en/"><img src="/a.png"></a>',
        '<a href="/index.html"><img src="/a.png"></a>',
        '<a class="navbar-brand" href="/about"><img src="/a.png"></a>',
        '<div class="brand"><a href="/about"><picture><source srcset="/a.png"><img src="/a.png"></picture></a></div>',
        '<link rel="shortcut icon" href="/a.png"><p>text</p>',
        '<link rel="apple-touch-icon" href="/a.png"><p>text</p>',
    ],
)
def test_what_marks_a_logo(html: str) -> None:
    assert logos(html) == {"/a.png"}


@pytest.mark.parametrize(
    "html",
    [
        '<img src="/a.png" alt="An iconic lemon tree by the logography museum">',
        '<img src="/a.png" alt="A brand new bicycle leans against a wall">',
        '<a href="/en/shoes/1"><img src="/a.png"></a>',
        '<a href="https://other.example/"><img src="/a.png"></a>',
        '<a href="/?id=7"><img src="/a.png"></a>',
        '<a href="#"><img src="/a.png"></a>',
        f'<a href="/"><img src="/a.png"><p>{"A long story about how all of this began. " * 3}</p></a>',
        '<div class="brand"><img src="/a.png"><img src="/b.png"><img src="/c.png"></div>',
        '<body class="has-icon"><img src="/a.png"></body>',
        '<div class="brand" style="background: url(/a.png)"><p>Spring</p></div><a href="//["><img src="/b.png"></a>',
    ],
)
def test_what_does_not(html: str) -> None:
    found = logos(html)
    assert found == ({"/a.png"} if "background" in html else set())


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://a.example/img/acme-logo.png", True),
        ("https://a.example/img/AcmeLogo@2x.png?v=3", True),
        ("https://a.example/logos/acme.png", True),
        ("https://a.example/favicon-32.png", True),
        ("https://a.example/brand.webp", True),
        ("https://a.example/brands/acme/shoe.jpg", False),
        ("https://a.example/silicon-valley.jpg", False),
        ("https://a.example/x.jpg?from=logo.png", False),
        ("data:image/png;base64,logo/icon", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_addresses(address: str, expected: bool) -> None:
    assert address_says_logo(address) is expected


def test_a_logo_is_remembered_for_who_saw_the_page_and_forgotten_with_it() -> None:
    memory = PageMemory(pages_per_client=1)
    memory.remember("anna", PAGE, b'<img class="logo" src="/a.png">', "text/html")
    assert memory.is_logo("anna", f"{BASE}/a.png") and not memory.is_logo("ben", f"{BASE}/a.png")
    assert not memory.is_logo("anna", f"{BASE}/b.png") and not memory.is_logo("anna", "no address")
    held = memory.size_chars
    memory.remember("anna", PAGE + "2", b"<p>nothing</p>", "text/html")
    assert not memory.is_logo("anna", f"{BASE}/a.png") and memory.size_chars < held
    memory.forget("anna")
    assert memory.size_chars == 0
