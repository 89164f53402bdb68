from __future__ import annotations

import gzip

from addons.pagetext import PageText, is_page
from proxy.headers import Headers
from proxy.pages import PageMemory

PAGE = b'<html><body><figure><img src="/a.jpg" alt="a cup of coffee"></figure></body></html>'
HTML = Headers((("Content-Type", "text/html; charset=utf-8"),))


async def test_pages_are_read_beside_the_loop_and_kept_per_client() -> None:
    text = PageText(PageMemory())
    text.read("c", "http://site.test/", PAGE, HTML)
    assert text.words_for("c", "http://site.test/a.jpg", None) is None, "not read yet"
    await text.wait()
    assert "a cup of coffee" in (text.words_for("c", "http://site.test/a.jpg", None) or "")
    assert text.words_for("d", "http://site.test/a.jpg", None) is None
    text.close()


async def test_coded_pages_are_decoded_and_cut_ones_give_what_they_have() -> None:
    text = PageText(PageMemory())
    coded = gzip.compress(PAGE + b"<p>" + bytes(range(256)) * 400)
    text.read("c", "http://site.test/", coded[: len(coded) - 20], HTML.adding(("Content-Encoding", "gzip")))
    await text.wait()
    assert text.words_for("c", "http://site.test/a.jpg", None)


async def test_what_cannot_be_read_has_no_words() -> None:
    text = PageText(PageMemory())
    text.read("c", "http://site.test/", b"not gzip", HTML.adding(("Content-Encoding", "gzip")))
    text.read("c", "http://site.test/", PAGE, HTML.adding(("Content-Encoding", "unheard-of")))
    await text.wait()
    assert text.words_for("c", "http://site.test/a.jpg", None) is None
    text.close()
    text.read("c", "http://site.test/", PAGE, HTML)
    await text.wait()


async def test_pages_do_not_queue_without_end() -> None:
    text = PageText(PageMemory(pages_per_client=100))
    for n in range(100):
        text.read("c", f"http://site.test/{n}", PAGE.replace(b"/a.jpg", b"/%d.jpg" % n), HTML)
    await text.wait()
    read = [n for n in range(100) if text.words_for("c", f"http://site.test/{n}.jpg", None)]
    assert 0 < len(read) <= 16


def test_pages_are_known_by_their_type() -> None:
    assert is_page(HTML) and not is_page(Headers((("Content-Type", "text/css"),))) and not is_page(Headers())
