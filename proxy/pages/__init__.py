"""What a page says about its images, so that a prompt can cross the link in 0 bytes.

In: the HTML that passes. Out: words for each image (`image_words`), their 8-byte digest (`words_digest`), and a bounded
memory of them for each client (`PageMemory`). Refuses: nothing; a page that cannot be read has no words.

Both proxies run this same code over the same bytes. They compare digests before they rely on it, so a disagreement
costs the prompt's bytes and never a wrong picture.
"""

from proxy.pages.address import canonical_url
from proxy.pages.extract import MAX_HTML_BYTES, image_words
from proxy.pages.memory import PageMemory
from proxy.pages.words import MAX_WORDS_CHARS, words_digest

__all__ = ["MAX_HTML_BYTES", "MAX_WORDS_CHARS", "PageMemory", "canonical_url", "image_words", "words_digest"]
