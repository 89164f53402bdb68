"""What a page says about its images, so that a prompt can cross the link in 0 bytes.

In: the HTML that passes. Out: words for each image (`image_words`), their 8-byte digest (`words_digest`), which images
are marked as logos (`page_images`), and a bounded memory of both for each client (`PageMemory`). Refuses: nothing; a
page that cannot be read has no words.

Both proxies run this same code over the same bytes. They compare digests before they rely on it, so a disagreement
costs the prompt's bytes and never a wrong picture.
"""

from proxy.pages.address import canonical_url
from proxy.pages.extract import MAX_HTML_BYTES, PageImages, image_words, page_images
from proxy.pages.logos import address_says_logo
from proxy.pages.memory import PageMemory
from proxy.pages.words import MAX_WORDS_CHARS, words_digest

__all__ = [
    "MAX_HTML_BYTES",
    "MAX_WORDS_CHARS",
    "PageImages",
    "PageMemory",
    "address_says_logo",
    "canonical_url",
    "image_words",
    "page_images",
    "words_digest",
]
