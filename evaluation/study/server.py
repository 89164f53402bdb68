"""The study as a small web site.

In: stimuli, the store of answers. Out: an aiohttp application: consent, questions one by one, thanks. Refuses: answers
without consent, to other questions than the next one, and values that the question does not offer.

A participant is known by a cookie, or by the address /resume/CODE; both lead to the first unanswered question. Pictures
are served under the question's number, never under what they are.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Handler

from evaluation.study import pages
from evaluation.study.answers import Answers, Participant
from evaluation.study.stimuli import ORIGINAL, Stimuli
from evaluation.study.trials import VALUES, Trial, trials

COOKIE = "study"
COOKIE_S = 30 * 24 * 3600
SECONDS_A_QUESTION = 12
MAX_ANSWER_MS = 24 * 3600 * 1000
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What whoever runs a study decides. An empty consent takes the built-in text."""

    per_section: int = 10
    consent: Sequence[str] = ()
    contact: str = ""


def application(stimuli: Stimuli, answers: Answers, setting: Setting) -> web.Application:
    """The site."""
    site = _Site(stimuli, answers, setting)
    app = web.Application(middlewares=[_guarded], client_max_size=4096)
    app.add_routes(
        [
            web.get("/", site.first),
            web.get("/study.css", site.style),
            web.post("/begin", site.begin),
            web.get("/question", site.question),
            web.get("/picture/{number:\\d{1,4}}/{slot:original|left|right}", site.picture),
            web.post("/answer", site.answer),
            web.get("/resume/{code}", site.resume),
            web.post("/withdraw", site.withdraw),
        ]
    )
    return app


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Headers for every answer; forms only from our own pages, whatever the browser does with cookies."""
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin not in (None, f"{request.scheme}://{request.host}"):
        return web.Response(status=403, text="from another site")
    response = await handler(request)
    response.headers.update(_HEADERS)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response


class _Site:
    """The handlers, and when each participant saw the present question."""

    def __init__(self, stimuli: Stimuli, answers: Answers, setting: Setting) -> None:
        self._stimuli, self._answers, self._setting = stimuli, answers, setting
        self._shown: dict[tuple[str, int], float] = {}

    async def first(self, request: web.Request) -> web.Response:
        if self._participant(request) is not None:
            raise web.HTTPSeeOther("/question")
        count = len(trials(self._stimuli, 0, self._setting.per_section))
        minutes = max(1, round(count * SECONDS_A_QUESTION / 60))
        return _html(pages.consent(self._setting.consent or pages.CONSENT, self._setting.contact, count, minutes))

    async def style(self, _: web.Request) -> web.Response:
        return web.Response(text=pages.style(), content_type="text/css")

    async def begin(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("consent") != "yes":
            return _html(pages.notice("Nothing is asked without consent", "The box on the first page is empty."), 400)
        simulated = form.get("simulated") == "yes"
        given = str(form.get("seed", ""))
        seed = int(given) if simulated and given.isdecimal() and len(given) < 10 else secrets.randbelow(2**31)
        asked = trials(self._stimuli, seed, self._setting.per_section)
        one = self._answers.join(seed, simulated, self._stimuli.digest, asked, _now())
        return _recognised(one.code)

    async def question(self, request: web.Request) -> web.Response:
        one = self._known(request)
        trial = self._answers.next_trial(one)
        if trial is None:
            return _html(pages.thanks(one.code, one.simulated))
        self._shown.setdefault((one.code, trial.number), time.monotonic())
        image = self._stimuli.image(trial.image)
        return _html(pages.question(trial, image, len(one.trials), one.code, one.simulated))

    async def picture(self, request: web.Request) -> web.StreamResponse:
        one, number = self._known(request), int(request.match_info["number"])
        trial = next((trial for trial in one.trials if trial.number == number), None)
        condition = _version(trial, request.match_info["slot"]) if trial is not None else ""
        if trial is None or not condition:
            raise web.HTTPNotFound
        body = self._stimuli.file(trial.image, condition).read_bytes()
        headers = {"Cache-Control": "private, no-cache"}
        return web.Response(body=body, content_type="image/webp", headers=headers)

    async def answer(self, request: web.Request) -> web.Response:
        one, form = self._known(request), await request.post()
        trial, value = self._answers.next_trial(one), str(form.get("value", ""))
        if trial is None or form.get("number") != str(trial.number):
            raise web.HTTPSeeOther("/question")  # sent twice, or by an old page: the present question is shown again
        if value not in VALUES[trial.section]:
            return _html(pages.notice("No answer was chosen", "Go back and choose one."), 400)
        shown = self._shown.pop((one.code, trial.number), None)
        spent_ms = None if shown is None else min(MAX_ANSWER_MS, int((time.monotonic() - shown) * 1000))
        self._answers.put(one, trial, value, spent_ms, _now())
        raise web.HTTPSeeOther("/question")

    async def resume(self, request: web.Request) -> web.Response:
        one = self._answers.participant(request.match_info["code"])
        if one is None or one.stimuli != self._stimuli.digest:
            return _html(pages.notice("Not known", "This code is not known here, or was withdrawn."), 404)
        return _recognised(one.code)

    async def withdraw(self, request: web.Request) -> web.Response:
        self._answers.withdraw(self._known(request).code)
        response = _html(pages.notice("Deleted", "All your answers are deleted."))
        response.del_cookie(COOKIE)
        return response

    def _participant(self, request: web.Request) -> Participant | None:
        one = self._answers.participant(request.cookies.get(COOKIE, ""))
        return one if one is not None and one.stimuli == self._stimuli.digest else None

    def _known(self, request: web.Request) -> Participant:
        one = self._participant(request)
        if one is None:
            raise web.HTTPSeeOther("/")
        return one


def _version(trial: Trial, slot: str) -> str:
    return ORIGINAL if slot == "original" else trial.left if slot == "left" else trial.right


def _recognised(code: str) -> web.Response:
    response = web.Response(status=303, headers={"Location": "/question"})
    response.set_cookie(COOKIE, code, max_age=COOKIE_S, httponly=True, samesite="Lax")
    return response


def _html(page: str, status: int = 200) -> web.Response:
    return web.Response(text=page, content_type="text/html", status=status)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
