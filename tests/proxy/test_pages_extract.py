"""What the words of typical pages are, and that no page, however odd, costs more than linear time or raises."""

from __future__ import annotations

import bs4
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.pages import MAX_HTML_BYTES, MAX_WORDS_CHARS, image_words
from proxy.pages import reading as reading_module
from proxy.pages.reading import MAX_PICTURES, MAX_TAGS, read_page

PAGE = "https://news.example/world/story.html"

NEWS = """<!doctype html><html lang=en><head><meta charset=utf-8>
<title>River bursts its banks in Oldtown | The Daily Example</title>
<meta property="og:site_name" content="The Daily Example">
<meta property="og:image" content="https://cdn.example/og/flood.jpg">
<meta property="og:image:alt" content="Aerial view of a flooded town square">
<meta name=description content="Hundreds left their homes on Monday. More rain is expected.">
<link rel=preload as=image imagesrcset="/img/lead-640.jpg 640w, /img/lead-1280.jpg 1280w">
</head><body>
<header><a href="/"><img src="/logo.svg" alt="The Daily Example"></a></header>
<nav><ul><li><a href=/sport><img src=/icons/sport.png alt=""> Sport</a></ul></nav>
<article><h1>River bursts its banks in Oldtown</h1>
<figure><picture><source type=image/avif srcset="/img/lead-640.avif 640w, /img/lead-1280.avif 1280w">
<img src="/img/lead-640.jpg#top" srcset="/img/lead-640.jpg 640w, /img/lead-1280.jpg 1280w" alt="IMG_2041.JPG"></picture>
<figcaption>Rescue boats cross the market square on Monday morning. Photograph: Jo Bloggs/Agency</figcaption></figure>
<p>The water rose two metres overnight. Nobody was hurt.</p>
<h2>Volunteers fill sandbags</h2>
<img class=inline src="../img/bags.jpg" alt="Volunteers with shovels">
<p>More than two hundred people helped at the bridge.</p>
<p>Shops stay closed.</p><img src="plain.jpg"><h2>Weather to come</h2><p>More rain is expected until Thursday night.</p>
</article>
<aside><h3>Most read</h3>
<a href=/cats><img src=/t/cats.jpg alt=""><span>Ten cats that look like clouds</span></a></aside>
<footer><img src=/badge.png alt=""></footer></body></html>"""

WORDPRESS = """<html><head><title>Our trip to Iceland &#8211; Two on the Road</title></head><body class="single-post">
<div class="entry-content"><div id="attachment_12" class="wp-caption alignnone">
<img class="wp-image-12 lazy" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" alt="falls-1024x683"
 data-lazy-src="https://blog.example/wp/falls-1024x683.jpg"
 data-lazy-srcset="https://blog.example/wp/falls-1024x683.jpg 1024w, https://blog.example/wp/falls-300x200.jpg 300w">
<noscript><img src="https://blog.example/wp/falls-1024x683.jpg" alt=""></noscript>
<p id="caption-attachment-12" class="wp-caption-text">Skógafoss waterfall with a double rainbow</p></div>
<p>We drove on to the black beach.</p>
<figure class="wp-block-image"><a href="https://blog.example/wp/beach.jpg">
<img src="https://blog.example/wp/beach-300x200.jpg" alt="DSC_0042"></a></figure>
<p>Basalt columns rise from the black sand like organ pipes. It was cold.</p></div></body></html>"""

SHOP = """<html><head><base href="https://shop.example/assets/"><title>Running shoes - Shop Example</title>
<style>.promo::before{color:red} .promo.wide { background : #fff url( 'promo.jpg' ) no-repeat }
@media print{.x{}}</style></head><body>
<div class="hero" style="background-image:url(&quot;hero wide.jpg&quot;)"><h2>Spring sale on trail shoes</h2></div>
<div class="promo wide"><h3>Free delivery to your door</h3></div>
<ul class=grid>
<li><a href=/p/1><img data-src="p/1.webp" src="blank.gif" alt="">
<h3>Comet trail shoe, orange</h3><span>89.00</span></a></li>
<li><a href=/p/2 aria-label="Nimbus road shoe, blue"><img data-original="p/2.webp" alt="product-2"></a></li>
<li><a href=/p/3 title="Read more"><img src="p/3.webp" alt="Quick view">
<div><h3>Terra boot, brown leather</h3></div></a></li>
</ul>
<video poster="films/run.jpg" aria-labelledby="film"></video><p id=film>A runner crosses a ridge at dawn</p>
<a href=x><svg><title>cart</title><path d="M0"/></svg></a></body></html>"""


def test_news_caption_beats_file_name_and_loses_its_credit() -> None:
    words = image_words(NEWS, PAGE)
    lead = words["https://news.example/img/lead-640.jpg"]
    assert lead.startswith("Rescue boats cross the market square on Monday morning")
    assert "Bloggs" not in lead and "IMG" not in lead and "Daily Example" not in lead


@pytest.mark.parametrize("name", ["lead-1280.jpg", "lead-640.avif", "lead-1280.avif"])
def test_every_candidate_of_a_picture_has_the_same_words(name: str) -> None:
    words = image_words(NEWS, PAGE)
    assert words[f"https://news.example/img/{name}"].startswith("Rescue boats cross the market square")


def test_alt_then_heading_then_sentence() -> None:
    words = image_words(NEWS, PAGE)["https://news.example/img/bags.jpg"]
    expected = [
        "Volunteers with shovels",
        "Volunteers fill sandbags",
        "More than two hundred people helped at the bridge.",
    ]
    assert [words.index(phrase) for phrase in expected] == sorted(words.index(phrase) for phrase in expected)


def test_an_image_before_the_next_heading_belongs_to_the_text_before_it() -> None:
    words = image_words(NEWS, PAGE)["https://news.example/world/plain.jpg"]
    assert "Volunteers fill sandbags" in words and "Weather" not in words and "Thursday" not in words


def test_shared_picture_of_the_page_uses_its_own_description() -> None:
    assert image_words(NEWS, PAGE)["https://cdn.example/og/flood.jpg"].startswith(
        "Aerial view of a flooded town square"
    )


def test_menus_and_teasers_do_not_borrow_the_articles_words() -> None:
    words = image_words(NEWS, PAGE)
    assert words["https://news.example/logo.svg"] == "The Daily Example"
    assert words["https://news.example/icons/sport.png"] == "Sport"
    assert words["https://news.example/t/cats.jpg"] == "Ten cats that look like clouds. Most read"
    assert "https://news.example/badge.png" not in words


def test_wordpress_lazy_image_with_caption_class() -> None:
    words = image_words(WORDPRESS, "https://blog.example/iceland/")
    for url in ("https://blog.example/wp/falls-1024x683.jpg", "https://blog.example/wp/falls-300x200.jpg"):
        assert words[url].startswith("Skógafoss waterfall with a double rainbow")
    assert not any(url.startswith("data:") for url in words)


def test_wordpress_link_to_the_large_picture() -> None:
    words = image_words(WORDPRESS, "https://blog.example/iceland/")
    large, small = words["https://blog.example/wp/beach.jpg"], words["https://blog.example/wp/beach-300x200.jpg"]
    assert large == small == "Basalt columns rise from the black sand like organ pipes. Our trip to Iceland"


def test_shop_cards_take_their_own_heading_or_label() -> None:
    words = image_words(SHOP, "https://shop.example/shoes")
    assert words["https://shop.example/assets/p/1.webp"].startswith("Comet trail shoe, orange")
    assert words["https://shop.example/assets/p/2.webp"].startswith("Nimbus road shoe, blue")
    assert words["https://shop.example/assets/p/3.webp"].startswith("Terra boot, brown leather")


def test_backgrounds_in_attributes_and_style_blocks() -> None:
    words = image_words(SHOP, "https://shop.example/shoes")
    assert words["https://shop.example/assets/hero%20wide.jpg"].startswith("Spring sale on trail shoes")
    assert words["https://shop.example/assets/promo.jpg"].startswith("Free delivery to your door")


def test_poster_with_aria_labelledby() -> None:
    words = image_words(SHOP, "https://shop.example/shoes")
    assert words["https://shop.example/assets/films/run.jpg"].startswith("A runner crosses a ridge at dawn")


def test_the_most_specific_place_comes_first_whatever_the_order() -> None:
    html = '<meta property=og:image content=/a.jpg><title>Page title here</title><p><img src=/a.jpg alt="A red fox">'
    assert image_words(html, PAGE)["https://news.example/a.jpg"] == "A red fox. Page title here"


def test_charset_of_content_type_is_honoured() -> None:
    html = '<img src=a.jpg alt="Überfüllte Straße">'.encode("latin-1")
    assert image_words(html, PAGE, "text/html; charset=ISO-8859-1") == {
        "https://news.example/world/a.jpg": "Überfüllte Straße"
    }


def test_script_templates_and_text_in_scripts_are_no_words() -> None:
    html = '<script>var a = "hello there my old friend";</script><img src=a.jpg alt="{{ item.alt }}">'
    assert image_words(html, PAGE) == {}


def test_xhtml_with_an_encoding_declaration() -> None:
    html = '<?xml version="1.0" encoding="utf-16"?><html><body><img src="a.jpg" alt="A red fox"/></body></html>'
    assert image_words(html.encode(), PAGE) == {"https://news.example/world/a.jpg": "A red fox"}


def test_over_the_size_limit_nothing_is_read() -> None:
    image = '<img src=a.jpg alt="A red fox">'
    assert image_words(image + " " * (MAX_HTML_BYTES - len(image)), PAGE)
    assert not image_words(image + " " * MAX_HTML_BYTES, PAGE)


def test_only_the_first_tags_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    real = bs4.BeautifulSoup

    def spy(markup: str, features: str) -> object:
        parsed.append(markup)
        return real(markup, features)

    monkeypatch.setattr(bs4, "BeautifulSoup", spy)
    image_words("<b>" * (4 * MAX_TAGS), PAGE)
    assert parsed[0].count("<") == MAX_TAGS


def test_pictures_are_bounded() -> None:
    html = "".join(f'<img src=/{i}.jpg alt="Fox {i} sits">' for i in range(MAX_TAGS))
    assert len(read_page(html).found) == MAX_PICTURES
    assert len(image_words(html, PAGE)) == MAX_PICTURES


def test_one_srcset_is_bounded() -> None:
    html = '<img alt="A red fox" srcset="' + ",".join(f"/{i}.jpg {i + 1}w" for i in range(10_000)) + '">'
    assert len(image_words(html, PAGE)) == reading_module.MAX_CANDIDATES


def test_nesting_is_walked_without_recursion_and_climbed_only_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    real = reading_module.Frame.ancestors

    def counting(self: reading_module.Frame, limit: int) -> object:
        nonlocal steps
        for frame in real(self, limit):
            steps += 1
            yield frame

    monkeypatch.setattr(reading_module.Frame, "ancestors", counting)
    html = "<div>" * 5_000 + "".join(f"<img src=/{i}.jpg>" for i in range(200))
    image_words(html, PAGE)
    assert steps < 200 * 150


@pytest.mark.parametrize(
    "html",
    [
        "<style>" + "url(" * 100_000 + "</style>",
        "<p style='" + 'url("' * 100_000 + "'>",
        '<img srcset="' + "," * 200_000 + '">',
        '<img src=a.jpg alt="' + "(photo " * 50_000 + '">',
        "<!--" * 50_000,
        "<img " * 50_000,
        ("<p>" + "1 " * 1_000 + "<img src=a.jpg>") * 100,
    ],
)
def test_hostile_markup_is_survived(html: str) -> None:
    assert isinstance(image_words(html, PAGE), dict)


@pytest.mark.parametrize("base", ["", "javascript:x", "http://[", "//", "https://" + "a" * 5_000])
def test_any_base_is_survived(base: str) -> None:
    assert isinstance(image_words(f'<base href="{base}"><img src=a.jpg alt="A red fox">', PAGE), dict)


_MARKUP = st.lists(
    st.sampled_from(
        [
            "<img src=a.jpg alt='", "'>", "<figure>", "</figure>", "<figcaption>", "<h2>", "</h2>", "<a href=b.jpg>",
            "<div class=caption style='background:url(c.png)'>", "</div>", "</a>", "<p>", "<style>", "</style>",
            "<svg>", "<source srcset='d.webp 1x, e.webp 2x'>", "<base href=//[>", "&#0;", "&#x110000;", "<!--",
            "-->", "<title>",
            "A fox in the snow. ", "\x00", "\ud800", "é", "狐狸在雪地里奔跑。", "\u202e", "<noscript>", "<template>",
            "<?xml?>", "<picture>", "<![CDATA[", "]]>",
        ]
    ) | st.text(max_size=20),
    max_size=30,
).map("".join)  # fmt: skip


@given(_MARKUP | st.binary(max_size=400), st.text(max_size=40))
@settings(max_examples=150, deadline=None)
def test_anything_gives_bounded_words_and_the_same_ones_again(html: str | bytes, content_type: str) -> None:
    words = image_words(html, PAGE, content_type)
    assert words == image_words(html, PAGE, content_type)
    for url, text in words.items():
        assert url.startswith(("http://", "https://")) and "#" not in url
        assert 0 < len(text) <= MAX_WORDS_CHARS
        assert text == " ".join(text.split())


def test_a_tables_row_is_nearer_than_the_heading_above_the_table() -> None:
    row = '<tr><td><img src=/{0}.jpg alt="{0}"></td><td>{0} with a long thin tail behind it</td></tr>'
    html = "<main><h2>All pictures</h2><table>" + "".join(map(row.format, ("fox", "cat", "rat"))) + "</table></main>"
    words = image_words(html, PAGE)
    assert words["https://news.example/cat.jpg"] == "cat with a long thin tail behind it. All pictures"


def test_blocks_inside_a_link_are_phrases_of_their_own() -> None:
    blocks = "<div><span>Travel</span><h2>Slow places</h2><p>A tower by a lake.</p></div>"
    html = f"<a href=/x><img src=/x.jpg alt=''>{blocks}</a>"
    assert image_words(html, PAGE)["https://news.example/x.jpg"] == "Travel. Slow places. A tower by a lake."
