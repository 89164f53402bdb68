"""Which characters a page's bytes are.

In: the body and its Content-Type. Out: text. Refuses: to guess by statistics, because both proxies must read the same
words: the order is byte-order mark, Content-Type, <meta>, UTF-8 if it decodes, else windows-1252 (WHATWG Encoding).
"""

from __future__ import annotations

import re

_META = re.compile(rb"<meta[^>]{0,400}?charset\s{0,20}=\s{0,20}[\"']?\s{0,20}([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_PARAMETER = re.compile(r";\s{0,20}charset\s{0,20}=\s{0,20}[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_META_BYTES = 4096  # HTML asks for 1,024; many pages declare it a little later, and browsers read on
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))

# Only these labels are honoured: Python also knows "idna", "unicode_escape" and others that no page may choose.
_CODECS = {
    "utf8": "utf-8", "unicode11utf8": "utf-8",
    "ascii": "cp1252", "usascii": "cp1252", "iso88591": "cp1252", "latin1": "cp1252", "l1": "cp1252",
    "cp1252": "cp1252", "xcp1252": "cp1252",
    "iso88592": "iso8859-2", "latin2": "iso8859-2", "iso88593": "iso8859-3", "iso88594": "iso8859-4",
    "iso88595": "iso8859-5", "iso88596": "iso8859-6", "iso88597": "iso8859-7", "iso88598": "iso8859-8",
    "iso88599": "cp1254", "latin5": "cp1254", "iso885910": "iso8859-10", "iso885911": "cp874",
    "iso885913": "iso8859-13", "iso885914": "iso8859-14", "iso885915": "iso8859-15", "latin9": "iso8859-15",
    "iso885916": "iso8859-16", "tis620": "cp874", "windows874": "cp874",
    "windows1250": "cp1250", "windows1251": "cp1251", "windows1252": "cp1252", "windows1253": "cp1253",
    "windows1254": "cp1254", "windows1255": "cp1255", "windows1256": "cp1256", "windows1257": "cp1257",
    "windows1258": "cp1258", "koi8r": "koi8-r", "koi8u": "koi8-u", "macintosh": "mac-roman",
    "gb2312": "gb18030", "gbk": "gb18030", "xgbk": "gb18030", "gb18030": "gb18030",
    "big5": "big5hkscs", "big5hkscs": "big5hkscs", "eucjp": "euc-jp", "iso2022jp": "iso2022-jp",
    "shiftjis": "cp932", "sjis": "cp932", "xsjis": "cp932", "windows31j": "cp932",
    "euckr": "cp949", "ksc56011987": "cp949", "windows949": "cp949",
    "utf16": "utf-16-le", "utf16le": "utf-16-le", "utf16be": "utf-16-be",
}  # fmt: skip


def page_text(body: bytes, content_type: str = "") -> str:
    """Decode an HTML body; undecodable bytes become U+FFFD. Never raises."""
    for mark, codec in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(codec, "replace")
    named = _codec(content_type, _PARAMETER)
    if named is None:
        declared = _META.search(body, 0, _META_BYTES)
        named = _CODECS.get(_label(declared[1].decode("ascii"))) if declared else None
        if named in ("utf-16-le", "utf-16-be"):
            named = "utf-8"  # the declaration was readable as ASCII, so it cannot be true (HTML 13.2.3.3)
    if named is not None:
        return body.decode(named, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")


def _codec(content_type: str, pattern: re.Pattern[str]) -> str | None:
    found = pattern.search(content_type[:1000])
    return _CODECS.get(_label(found[1])) if found else None


def _label(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
