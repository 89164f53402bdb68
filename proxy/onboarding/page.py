"""Writes the proxy's own pages as HTML that needs no script.

In: facts about a client, the proxy and its certificate. Out: whole documents. Refuses: nothing; every text that comes
from outside is escaped here.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

from proxy.onboarding import place, platforms
from proxy.onboarding.choices import Choice

BOOKMARK = f"javascript:location='{place.HTTP}/original?address='+encodeURIComponent(location.href)"
_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="stylesheet" href="/style.css"><link rel="icon" href="/icon.svg" type="image/svg+xml">
</head><body>
<header><img src="/icon.svg" alt="" width="36" height="36"><h1>Sketchwire</h1>{state}</header>
<main>
{body}
</main>
<footer>{footer}</footer>
</body></html>
"""
_FOOTER = (
    "This page comes from the proxy itself and is never sent over the link. It sets no cookies and runs no scripts."
)


@dataclass(frozen=True, slots=True)
class Savings:
    """What the proxy saved in a number of days; None percent before there was anything to save."""

    days: int
    images: int
    origin_bytes: int
    saved_bytes: int
    percent: float | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the home page shows."""

    choice: Choice
    token: str
    savings: Savings | None
    fingerprint: str | None
    proxy: str  # host:port, as the client reaches it
    address: str = ""  # to fill in
    note: str = ""  # what went wrong with the last form


def home(facts: Facts) -> bytes:
    """The page at http://sketchwire.internal/."""
    state = '<span class="state">On: this browser uses Sketchwire</span>'
    if facts.choice.off:
        state = '<span class="state off">Off: everything passes untouched</span>'
    note = f'<p class="note wide" role="alert">{_text(facts.note)}</p>' if facts.note else ""
    left = f'<div class="column">{_originals(facts)}{_switch(facts)}</div>'
    sections = [note, _savings(facts), left, _trust(facts), _set_up(facts)]
    return _page("Sketchwire", state, "\n".join(sections))


def set_up_page(proxy: str, fingerprint: str | None) -> bytes:
    """The page that the proxy shows to who visits its address directly: how to start using it."""
    body = f"""<section class="wide"><h2>Set this device up</h2>
<p>Set its proxy for HTTP and HTTPS to <code>{_text(proxy)}</code>, or give it this address to
configure itself:</p>
<pre>http://{_text(proxy)}/proxy.pac</pre>
<p>Then open <a href="{place.HTTP}/">{place.HTTP}/</a>: it tells whether that worked.</p></section>
{_certificates(fingerprint)}"""
    return _page("Set up Sketchwire", '<span class="state off">Not through the proxy yet</span>', body)


def trusted() -> bytes:
    """The page at https://sketchwire.internal/ok: who sees it without a warning trusts the CA."""
    body = f"""<section class="wide"><h2>This device trusts Sketchwire</h2>
<p>Pages over https are saved on, too. You came here over https, with a certificate of this proxy.</p>
<p><a href="{place.HTTP}/">Back to Sketchwire</a></p></section>"""
    return _page("Trusted", '<span class="state">Trusted</span>', body)


def problem(title: str, why: str) -> bytes:
    """A page that says what is wrong."""
    body = f"""<section class="wide"><h2>{_text(title)}</h2><p>{_text(why)}</p>
<p><a href="/">Back to Sketchwire</a></p></section>"""
    return _page(title, "", body)


def _page(title: str, state: str, body: str) -> bytes:
    return _FRAME.format(title=_text(title), state=state, body=body, footer=_FOOTER).encode()


def _savings(facts: Facts) -> str:
    found = facts.savings
    if found is None or found.percent is None:
        said = "<p>Nothing yet. Figures appear once images have passed.</p>"
    else:
        worth = "saved" if found.saved_bytes >= 0 else "more sent"
        sums = f"{_size(abs(found.saved_bytes))} of {_size(found.origin_bytes)}"
        said = f"""<div class="figure"><strong>{abs(found.percent):.0f} %</strong><span>of image data {worth}<br>
<span class="soft">{sums}, {found.images:,} images, {found.days} days</span></span></div>
<meter min="0" max="100" value="{max(found.percent, 0):.0f}">{found.percent:.0f} %</meter>"""
    return f'<section class="wide" aria-labelledby="saved"><h2 id="saved">Saved on the link</h2>{said}</section>'


def _originals(facts: Facts) -> str:
    return f"""<section id="original"><h2>Show me the original</h2>
<p>A picture looks wrong, or you need every detail? Its page or site gets originals from now on.</p>
<form method="post" action="/choose">{_token(facts)}
<label for="address">Address of the page or site</label>
<input type="text" id="address" name="address" value="{_text(facts.address)}" placeholder="example.org/story" required
 maxlength="2048" autocapitalize="none" autocomplete="off" spellcheck="false" inputmode="url">
<div class="row"><button name="do" value="original-page">This page</button>
<button name="do" value="original-site" class="quiet">The whole site</button></div></form>
{_chosen(facts)}
<p class="soft">Quicker: drag this link to your bookmarks, <a href="{_text(BOOKMARK)}">Show the original</a>,
and use it on any page. Reload the page afterwards.</p></section>"""


def _chosen(facts: Facts) -> str:
    kinds = (("site", "Site", facts.choice.sites), ("page", "Page", facts.choice.pages))
    items = [
        f'<li><span>{_text(name)}<small>{title}</small></span><form method="post" action="/choose">{_token(facts)}'
        f'<input type="hidden" name="address" value="{_text(name)}">'
        f'<button name="do" value="undo-{kind}" class="quiet" aria-label="Undo for {_text(name)}">Undo</button>'
        "</form></li>"
        for kind, title, names in kinds
        for name in reversed(names)
    ]
    return f'<ul class="chosen">{"".join(items)}</ul>' if items else ""


def _trust(facts: Facts) -> str:
    return f"""<section id="https"><h2>Saving on https pages</h2>
<div class="test"><span>This browser and our certificate:</span>
<img class="answer" src="{place.HTTPS}/ok.svg" referrerpolicy="origin" alt="not trusted yet" height="26"></div>
<p>Most pages use https. To draw their images, Sketchwire has to open those connections, so your device must trust its
certificate. Banks, health, public offices, sign-in pages and updates are never opened.</p>
<p><a href="{place.HTTPS}/ok">Test it as a page</a>: a warning there means that it is not trusted yet.</p>
{_steps(facts.fingerprint)}</section>"""


def _certificates(fingerprint: str | None) -> str:
    return f'<section class="wide"><h2>Let it trust the certificate</h2>{_steps(fingerprint)}</section>'


def _steps(fingerprint: str | None) -> str:
    if fingerprint is None:
        return '<p class="soft">The certificate cannot be read at the moment; the log of the proxy says why.</p>'
    parts = []
    for platform in platforms.PLATFORMS:
        steps = "".join(f"<li>{_text(step)}</li>" for step in platform.steps)
        link = f'<a class="download" href="/{platform.file}" download>Download {_text(platform.file)}</a>'
        parts.append(f"<details><summary>{_text(platform.name)}</summary><ol>{steps}</ol>{link}</details>")
    return f"""{"".join(parts)}
<p class="soft">Compare before you trust it. SHA-256:<br><span class="mono">{fingerprint}</span></p>"""


def _switch(facts: Facts) -> str:
    if facts.choice.off:
        said = "<p>Everything passes untouched: originals everywhere, and no https connection is opened.</p>"
        button = '<button name="do" value="on">Switch on</button>'
    else:
        said = "<p>Trouble with a page? Switch Sketchwire off for you and see whether that was it.</p>"
        button = '<button name="do" value="off" class="quiet">Switch off</button>'
    return f"""<section id="switch"><h2>{"Off" if facts.choice.off else "On"} for this device</h2>{said}
<form method="post" action="/choose">{_token(facts)}<div class="row">{button}</div></form></section>"""


def _set_up(facts: Facts) -> str:
    return f"""<section class="wide" id="set-up"><h2>Another device, and scripts</h2>
<p>Proxy for HTTP and HTTPS: <code>{_text(facts.proxy)}</code>. Automatic configuration (PAC):</p>
<pre>http://{_text(facts.proxy)}/proxy.pac</pre>
<p>A script gets the original of one request with a header field:</p>
<pre>curl -x http://{_text(facts.proxy)} -H "Sketchwire-Original: 1" http://example.org/photo.jpg</pre></section>"""


def _token(facts: Facts) -> str:
    return f'<input type="hidden" name="token" value="{_text(facts.token)}">'


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


def _text(text: str) -> str:
    return html.escape(text, quote=True)
