"""What a model or a page says becomes plain words, or nothing: both are data from strangers.

In: text. Out: the same words without controls, markup and symbols, at most so many characters; or None. Refuses (as
None): text that gives instructions, speaks as an assistant, or carries addresses, markup or code.

A caption becomes a prompt of a diffusion model and stands in reports and logs, and a page's words become part of what
the captioner is asked; neither may carry orders from one to the other. The words left are letters, digits and plain
punctuation, so that prompt weights such as (word:1.5) and tags such as <lora:x> cannot be written with them.
"""

from __future__ import annotations

import re
import unicodedata

READ_CHARS = 4000  # no more than this is looked at
MIN_LETTERS = 3
_PUNCTUATION = frozenset(" ,.;:'’‘“”\"!?&%/–—-")
_ADDRESS = re.compile(
    r"(?:https?|ftp|file|data|javascript|mailto)\s*:|:\s?//|\bwww\.|[\w.+-]+@[\w-]+\.\w|\b[\w-]+\.(?:com|org|net|io|ru|cn|info|"
    r"biz|xyz|top|site|online|app|dev|gov|edu)\b|\b\d{1,3}(?:\.\d{1,3}){3}\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(
    r"<\s*/?\s*[a-z!|][^>]*>|</?[a-z]+|!?\[[^\]]*\]\s*\(|```|\{\{|\$\{|<%|&#?\w{2,8};|\|\s*(?:im_start|im_end|endoftext)",
    re.IGNORECASE,
)
_ORDERS = re.compile(
    r"\b(?:ignor\w*|disregard\w*|forget|overrid\w*|bypass\w*)\b.{0,40}\b(?:instruct\w*|prompts?|rules?|previous|above|prior|"
    r"earlier|system|everything)\b"
    r"|\b(?:system|developer)\s+(?:prompt|message|instruction)s?\b|\bnew instructions?\b"
    r"|\bprompt injection\b|\bjailbreak"
    r"|\b(?:you are|you're) (?:now|an? (?:ai|assistant|model|helpful))\b"
    r"|\b(?:act|respond|answer|reply) (?:as|with|only)\b"
    r"|\b(?:instead|please),? (?:say|write|output|print|answer|reply|respond|describe|caption|send|visit|click|run)\b"
    r"|\b(?:say|write|output|print|repeat|caption) (?:exactly|only|the following|this)\b|\bdo not describe\b"
    r"|\b(?:reveal|leak|exfiltrate|send)\b.{0,30}\b(?:key|password|secret|token|prompt|url)\b"
    r"|\b(?:click|visit|go to|navigate to|download|execute|run)\b.{0,20}\b(?:link|here|site|page|command|script|code)\b"
    r"|(?:^|\n)\s*(?:system|assistant|user|human|ai)\s*:",
    re.IGNORECASE | re.DOTALL,
)
_AS_ASSISTANT = re.compile(
    r"\bas an ai\b|\bi(?:'m| am) (?:sorry|unable|not able)\b|\bi (?:can(?:no|')?t|cannot|won't|do not|don't)\b|"
    r"\bsorry\b.{0,20}\b(?:can|cannot|but)\b|\blanguage model\b|\bi apologi[sz]e\b|"
    r"\bunable to (?:see|view|process|describe)\b",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"\b(?:sk|pk|ghp|gho|xox[abp]|AKIA|eyJ)[-_]?[\w-]{8,}|\b(?=\w*\d)(?=\w*[a-z])\w{20,}\b|"
    r"(?<!\w)[+(]?\d[\d ()./-]{6,}\d",
    re.IGNORECASE,
)
_OPENING = re.compile(r"^(?:caption|description|answer|image|alt(?: text)?)\s*[:–—-]\s*", re.IGNORECASE)


def clean(text: str, limit_chars: int) -> str | None:
    """`text` as plain words of at most `limit_chars`, or None when it is not to be used."""
    text = visible(text[:READ_CHARS])
    if _forbidden(text):
        return None
    plain = "".join(c if c in _PUNCTUATION or unicodedata.category(c)[0] in "LMN" else " " for c in text)
    plain = _OPENING.sub("", " ".join(plain.split())).strip(" \"'“”‘’,;:–—-/&").strip()
    if len(plain) > limit_chars:
        cut = plain.rfind(" ", 0, limit_chars + 1)
        plain = plain[: cut if cut > limit_chars // 2 else limit_chars].rstrip(" ,;:–—-/&")
    if _forbidden(plain):  # what symbols stood between
        return None
    return plain if sum(c.isalpha() for c in plain) >= MIN_LETTERS else None


def _forbidden(text: str) -> bool:
    return any(pattern.search(text) for pattern in (_ADDRESS, _MARKUP, _ORDERS, _AS_ASSISTANT))


def without_secrets(text: str) -> str:
    """`text` without what looks like a key, a token, a telephone or an account number."""
    return " ".join(_SECRET.sub(" ", text[:READ_CHARS]).split())


def visible(text: str) -> str:
    """NFKC, without what is not seen: controls, zero-width and bidirectional marks, tags, surrogates. Line ends stay,
    as they can begin an order.
    """
    text = unicodedata.normalize("NFKC", text.replace("\r", "\n"))
    kept = (" " if c == "\t" else c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C")
    return "".join(kept)
