"""Phrases become a prompt: tidied, freed of boilerplate, each thing said once, the most specific first.

In: what markup says about an image, most specific phrase first. Out: at most 300 characters, and their 8-byte digest.
Refuses: phrases that describe no picture (file names, "image", "read more", agency credits): they are dropped.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

MAX_WORDS_CHARS = 300
DIGEST_BYTES = 8
_PHRASE_CHARS = 600  # of a phrase are read; the rest could not reach the prompt
_DROPPED_CATEGORIES = ("Cc", "Cf", "Co", "Cs", "Cn")  # controls, soft hyphens, zero-width marks, icon fonts, surrogates

_FILE_NAME = re.compile(
    r"\S+\.(?:jpe?g|png|gif|webp|avif|svg|bmp|tiff?|heic|jxl)(?:\?\S*)?|\S+[-_]\d{2,4}x\d{2,4}", re.IGNORECASE
)
_CAMERA_NAME = re.compile(
    r"(?:img|dscn?|dscf|pxl|p|imag|image|photo|pic|picture|scan|screen ?shot|screenshot|wp-image|attachment|unnamed|"
    r"untitled|bild|foto|figure|fig|slide|banner|thumb|thumbnail|item|product)?[\s\d_.#:x×()-]*(?:copy|scaled|large|small)?",
    re.IGNORECASE,
)
_HASH = re.compile(r"(?=\S*\d)[0-9a-f_-]{12,}", re.IGNORECASE)
_LEADING_LABEL = re.compile(
    r"(?:image may contain|(?:this is )?(?:an? )?(?:image|photo|photograph|picture|pic|illustration) of|"
    r"(?:featured |post |hero |cover )?image\s?[:–—-]|alt\s?[:=]|caption\s?[:–—-])\s*",
    re.IGNORECASE,
)
_CREDIT = re.compile(
    r"(?:\b(?:(?:AP |AFP |EPA |Getty )?(?:image|photo|picture|file|foto|bild|crédit)s?"
    r"(?:\s+(?:credits?|courtesy|source))?"
    r"\s*(?:[:/]|by\b|via\b|courtesy\b)|photograph(?:er|y)?\s*(?::|by\b)|credits?\s*:|source\s*:|quelle\s*:)|©|\(c\)).*",
    re.IGNORECASE,
)
_BOILERPLATE = frozenset(
    """image|images|img|photo|photos|photograph|picture|pic|icon|logo|thumbnail|thumb|banner|graphic|illustration|figure|
    avatar|placeholder|loading|loading...|loading…|untitled|unnamed|default|blank|spacer|pixel|background|bg|hero|header|
    featured image|featured|post image|post thumbnail|cover image|cover|hero image|main image|article image|lead image|
    product image|image placeholder|no alt text|alt text|alt|null|undefined|none|n/a|image not available|no image|
    image gallery|gallery|slideshow|slide|carousel|enlarge|enlarge image|click to enlarge|view larger|view image|zoom|
    full screen|read more|more|continue reading|learn more|see more|view more|details|view details|show more|open|close|
    next|previous|prev|play|play video|video|watch|watch now|share|home|menu|search|skip to content|advertisement|ad|
    sponsored|subscribe|sign in|log in|log out|register|buy now|add to cart|quick view|select options|sale|sale!|new|
    related posts|related articles|related|you may also like|recommended|popular|trending|comments|leave a comment|
    leave a reply|references|external links|see also|contents|table of contents|navigation|share this|tags|categories|
    link|permalink|edit|image caption|media caption|image source|getty images|reuters|afp|file photo|stock photo|
    bild|foto|imagen|immagine|imagem|afbeelding|obraz|изображение|фото|图片|图像|画像""".replace("\n", "").split("|")
)
_BOILERPLATE_PHRASES = frozenset(" ".join(phrase.split()) for phrase in _BOILERPLATE)
_SLUG = re.compile(r"(?<=[^\W\d_])[-_](?=[^\W\d_])")
_WORD = re.compile(r"\w+")


def tidy(phrase: str) -> str:
    """NFC, no control or invisible characters, single spaces. Idempotent."""
    if not phrase.isascii():
        phrase = "".join(c if c.isspace() or unicodedata.category(c) not in _DROPPED_CATEGORIES else "" for c in phrase)
        phrase = unicodedata.normalize("NFC", phrase)
    elif not phrase.isprintable():
        phrase = "".join(c for c in phrase if c.isprintable() or c.isspace())
    return " ".join(phrase.split())


def describing(phrase: str) -> str:
    """The part of a phrase that describes a picture; empty when none does."""
    text = tidy(phrase[:_PHRASE_CHARS])
    if "{{" in text or "<%" in text or "${" in text:
        return ""  # a template that a script fills in later
    label = _LEADING_LABEL.match(text)
    text = _CREDIT.sub("", text[label.end() :] if label else text, count=1)
    text = _without_symbols(text).strip(" \"'|·•–—-:;,/*_#<>→›»«…").rstrip(" ([").lstrip(" )]")
    if text[:1] in "([" and text[-1:] in ")]":
        text = text[1:-1].strip()
    if text[:1] in "([" and not any(c in text for c in ")]"):
        text = text[1:].strip()
    if " " not in text and len(_SLUG.findall(text)) >= 2 and not _FILE_NAME.fullmatch(text):
        text = _SLUG.sub(" ", text)  # "red-fox-in-snow" is how many publishing systems write an alt
    if not any(c.isalpha() for c in text) or text.casefold() in _BOILERPLATE_PHRASES:
        return ""
    if any(pattern.fullmatch(text) for pattern in (_FILE_NAME, _CAMERA_NAME, _HASH)):
        return ""
    if text.casefold().startswith(("http://", "https://", "www.")) and " " not in text:
        return ""
    return text


def _without_symbols(text: str) -> str:
    """No emoji and dingbats: pages decorate with them."""
    if text.isascii():
        return text
    return " ".join("".join(c for c in text if unicodedata.category(c) != "So" and c != "\ufe0f").split())


def compose(phrases: Iterable[str]) -> str:
    """Join phrases to one prompt of at most MAX_WORDS_CHARS; a phrase whose words another one has is left out."""
    kept: list[tuple[str, str]] = []
    length = 0
    for phrase in phrases:
        text = describing(phrase)
        key = _key(text)
        if not text or any(key in other for _, other in kept):
            continue
        said = next((i for i, (_, other) in enumerate(kept) if other in key), None)
        if said is None:
            kept.append((text, key))
        else:  # the longer phrase says it better, and takes the place of the shorter one
            kept[said] = (text, key)
        length = sum(len(t) + 2 for t, _ in kept)
        if length > 2 * MAX_WORDS_CHARS:
            break
    joined = ""
    for text, _ in kept:
        separator = "" if not joined else " " if joined[-1] in ".!?…。！？:;," else ". "
        joined += separator + text
    return cap(joined)


def cap(text: str, limit_chars: int = MAX_WORDS_CHARS) -> str:
    """At most `limit_chars`, cut between words where there are any (not in Chinese or Japanese)."""
    if len(text) <= limit_chars:
        return text
    cut = text.rfind(" ", 0, limit_chars + 1)
    return text[: cut if cut > limit_chars // 2 else limit_chars].rstrip(" ,;:–—-([")


def words_digest(words: str) -> bytes:
    """The first 8 bytes of SHA-256 of the words in UTF-8: what downstream sends instead of them."""
    return hashlib.sha256(words.encode("utf-8", "replace")).digest()[:DIGEST_BYTES]


def _key(text: str) -> str:
    """The words alone, case-folded and fenced by spaces, so that `in` means "says the same words in a row"."""
    return " " + " ".join(_WORD.findall(text.casefold())) + " "
