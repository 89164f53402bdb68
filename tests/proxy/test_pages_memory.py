"""Which page's words an image gets, and that memory stays bounded and private."""

from __future__ import annotations

from proxy.pages import PageMemory

IMAGE = "https://cdn.example/fox.jpg"


def page(alt: str) -> bytes:
    return f'<img src="{IMAGE}" alt="{alt}">'.encode()


def remember(memory: PageMemory, client: str, url: str, alt: str) -> None:
    memory.remember(client, url, page(alt), "text/html; charset=utf-8")


def test_the_page_in_the_referer_is_preferred_to_a_later_one() -> None:
    memory = PageMemory()
    remember(memory, "anna", "https://a.example/one", "A red fox")
    remember(memory, "anna", "https://b.example/two", "A grey wolf")
    assert memory.words_for("anna", IMAGE, "https://a.example/one#top") == "A red fox"


def test_an_origin_as_referer_means_that_sites_latest_page_with_the_image() -> None:
    memory = PageMemory()
    remember(memory, "anna", "https://a.example/one", "A red fox")
    remember(memory, "anna", "https://a.example/two", "A brown bear")
    memory.remember("anna", "https://a.example/three", b"<p>no image", "text/html")
    remember(memory, "anna", "https://b.example/four", "A grey wolf")
    assert memory.words_for("anna", IMAGE, "https://a.example/") == "A brown bear"
    assert memory.words_for("anna", IMAGE, "https://a.example/style.css") == "A brown bear"


def test_without_a_referer_the_latest_page_with_the_image() -> None:
    memory = PageMemory()
    remember(memory, "anna", "https://a.example/one", "A red fox")
    remember(memory, "anna", "https://b.example/two", "A grey wolf")
    assert memory.words_for("anna", IMAGE, None) == "A grey wolf"
    assert memory.words_for("anna", IMAGE, "about:blank") == "A grey wolf"


def test_an_unknown_image_has_no_words() -> None:
    memory = PageMemory()
    remember(memory, "anna", "https://a.example/one", "A red fox")
    assert memory.words_for("anna", "https://cdn.example/other.jpg", "https://a.example/one") is None
    assert memory.words_for("anna", "data:,", None) is None


def test_one_clients_pages_never_answer_for_another() -> None:
    memory = PageMemory()
    remember(memory, "anna", "https://a.example/one", "A red fox")
    assert memory.words_for("ben", IMAGE, "https://a.example/one") is None


def test_a_page_seen_again_replaces_its_older_self() -> None:
    memory = PageMemory()
    remember(memory, "anna", "https://a.example/one", "A red fox")
    remember(memory, "anna", "https://a.example/one", "A grey wolf")
    assert memory.words_for("anna", IMAGE, "https://a.example/one") == "A grey wolf"
    memory.remember("anna", "https://a.example/one", b"", "text/html")
    assert memory.words_for("anna", IMAGE, "https://a.example/one") is None


def test_only_html_is_remembered() -> None:
    memory = PageMemory()
    memory.remember("anna", "https://a.example/one", page("A red fox"), "application/json")
    assert memory.words_for("anna", IMAGE, None) is None and memory.size_chars == 0


def test_the_oldest_page_of_a_client_goes_first() -> None:
    memory = PageMemory(pages_per_client=2)
    for name, alt in (("one", "A red fox"), ("two", "A grey wolf"), ("three", "A brown bear")):
        remember(memory, "anna", f"https://a.example/{name}", alt)
    assert memory.words_for("anna", IMAGE, "https://a.example/one") == "A brown bear"
    assert memory.words_for("anna", IMAGE, "https://a.example/two") == "A grey wolf"


def test_a_page_whose_images_are_still_asked_for_stays() -> None:
    memory = PageMemory(pages_per_client=2)
    remember(memory, "anna", "https://a.example/one", "A red fox")
    remember(memory, "anna", "https://a.example/two", "A grey wolf")
    memory.words_for("anna", IMAGE, "https://a.example/one")
    remember(memory, "anna", "https://a.example/three", "A brown bear")
    assert memory.words_for("anna", IMAGE, "https://a.example/one") == "A red fox"


def test_the_client_idle_for_longest_goes_first() -> None:
    memory = PageMemory(clients=2)
    remember(memory, "anna", "https://a.example/one", "A red fox")
    remember(memory, "ben", "https://a.example/one", "A grey wolf")
    memory.words_for("anna", IMAGE, None)
    remember(memory, "cleo", "https://a.example/one", "A brown bear")
    assert memory.words_for("anna", IMAGE, None) == "A red fox"
    assert memory.words_for("ben", IMAGE, None) is None


def test_characters_are_bounded_and_counted_back_to_nothing() -> None:
    memory = PageMemory(total_chars=5_000)
    for i in range(100):
        remember(memory, f"client {i % 7}", f"https://a.example/{i}", "A red fox " + "runs " * 20)
        assert 0 < memory.size_chars <= 5_000
    for i in range(7):
        memory.forget(f"client {i}")
    assert memory.size_chars == 0


def test_one_page_over_the_whole_budget_is_not_kept() -> None:
    memory = PageMemory(total_chars=10)
    remember(memory, "anna", "https://a.example/one", "A red fox")
    assert memory.size_chars == 0 and memory.words_for("anna", IMAGE, None) is None
