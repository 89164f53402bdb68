"""Participants take part over real sockets."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer

from evaluation.study.answers import FILE, Answers
from evaluation.study.server import Setting, application
from evaluation.study.stimuli import Stimuli
from evaluation.study.trials import VALUES

Client = TestClient  # type: ignore[type-arg]


@pytest.fixture
def answers(stimuli: Stimuli) -> Iterator[Answers]:
    with Answers(stimuli.folder) as store:
        yield store


@pytest.fixture
async def client(stimuli: Stimuli, answers: Answers) -> AsyncIterator[Client]:
    server = TestServer(application(stimuli, answers, Setting(4, contact="ask@study.example")))
    async with TestClient(server, cookie_jar=CookieJar(unsafe=True)) as opened:
        yield opened


async def _text(client: Client, path: str = "/question") -> str:
    async with client.get(path) as answer:
        assert answer.status == 200 and "default-src 'none'" in answer.headers["Content-Security-Policy"]
        return await answer.text()


async def _begin(client: Client, **form: str) -> str:
    async with client.post("/begin", data={"consent": "yes", **form}) as answer:
        return await answer.text()


def _number(page: str) -> str:
    return re.findall(r'name="number" value="(\d+)"', page)[0]


def _rows(stimuli: Stimuli, asked: str) -> list[tuple[object, ...]]:
    return sqlite3.connect(stimuli.folder / FILE).execute(asked).fetchall()


async def _finish(client: Client, page: str) -> str:
    while 'name="number"' in page:
        value = re.findall(r'name="value" value="(\w+)"', page)[0]
        async with client.post("/answer", data={"number": _number(page), "value": value}) as answer:
            page = await answer.text()
    return page


async def test_consent_comes_first(client: Client, stimuli: Stimuli) -> None:
    first = await _text(client, "/")
    assert "voluntary" in first and "ask@study.example" in first and "12 questions" in first
    for path in ("/question", "/picture/0/left"):
        async with client.get(path, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
    async with client.post("/begin", data={}) as answer:
        assert answer.status == 400
    assert _rows(stimuli, "SELECT * FROM participants") == []


async def test_a_participant_answers_everything_and_the_answers_are_there(client: Client, stimuli: Stimuli) -> None:
    page = await _begin(client)
    assert "Simulated" not in page
    assert "Thank you" in await _finish(client, page)
    rows = _rows(stimuli, "SELECT number, section, value, answer_ms, simulated FROM answers ORDER BY number")
    assert [row[0] for row in rows] == list(range(12))
    assert all(str(row[2]) in VALUES[str(row[1])] for row in rows)
    assert all(isinstance(row[3], int) and row[4] == 0 for row in rows)
    assert _rows(stimuli, "SELECT finished_at IS NOT NULL, simulated FROM participants") == [(1, 0)]


async def test_no_page_tells_which_version_a_picture_is(client: Client, stimuli: Stimuli) -> None:
    page = await _begin(client)
    for _ in range(12):
        assert not re.search(r"sketch|webp|avif|jpeg|jxl|ours|pictures/", page.lower()), page
        for address in re.findall(r'src="([^"]+)"', page):
            async with client.get(address) as answer:
                headers = " ".join(f"{k}: {v}" for k, v in answer.headers.items()).lower()
                assert answer.status == 200 and answer.content_type == "image/webp" and "sketch" not in headers
        value = re.findall(r'name="value" value="(\w+)"', page)[0]
        async with client.post("/answer", data={"number": _number(page), "value": value}) as answer:
            page = await answer.text()


async def test_words_of_pages_are_escaped(client: Client) -> None:
    page = await _begin(client)
    for _ in range(4):
        page = await _next(client, page)
    assert "Part 2" in page and "&lt;b&gt;river" in page and "<b>river" not in page


async def _next(client: Client, page: str) -> str:
    value = re.findall(r'name="value" value="(\w+)"', page)[0]
    async with client.post("/answer", data={"number": _number(page), "value": value}) as answer:
        return await answer.text()


async def test_what_is_not_offered_is_not_taken(client: Client, stimuli: Stimuli) -> None:
    await _begin(client)
    for value in ("11", "0", "left", "", "7; drop"):
        async with client.post("/answer", data={"number": "0", "value": value}) as answer:
            assert answer.status == 400
    async with client.post("/answer", data={"number": "3", "value": "7"}) as answer:
        assert _number(await answer.text()) == "0"
    async with client.post("/answer", data={"number": "0", "value": "7"}, headers={"Origin": "http://e.org"}) as answer:
        assert answer.status == 403
    async with client.get("/picture/0/right") as answer:
        assert answer.status == 404
    assert _rows(stimuli, "SELECT * FROM answers") == []


async def test_sent_twice_counts_once_and_a_code_goes_on_elsewhere(client: Client, stimuli: Stimuli) -> None:
    page = await _begin(client)
    for _ in range(2):
        async with client.post("/answer", data={"number": "0", "value": "3"}) as answer:
            page = await answer.text()
    assert _number(page) == "1" and _rows(stimuli, "SELECT number, value FROM answers") == [(0, "3")]
    code = re.findall(r"/resume/([\w-]+)", page)[0]
    client.session.cookie_jar.clear()
    assert _number(await _text(client, f"/resume/{code}")) == "1"
    async with client.get("/resume/nobody") as answer:
        assert answer.status == 404


async def test_who_withdraws_is_gone(client: Client, stimuli: Stimuli) -> None:
    await _finish(client, await _begin(client))
    async with client.post("/withdraw") as answer:
        assert "deleted" in await answer.text()
    assert _rows(stimuli, "SELECT * FROM answers") == _rows(stimuli, "SELECT * FROM participants") == []


async def test_simulated_raters_are_marked_everywhere(client: Client, stimuli: Stimuli) -> None:
    page = await _begin(client, simulated="yes", seed="77")
    assert "Simulated rater" in page
    page = await _finish(client, page)
    assert "Simulated rater" in page
    assert _rows(stimuli, "SELECT seed, simulated FROM participants") == [(77, 1)]
    assert _rows(stimuli, "SELECT DISTINCT simulated FROM answers") == [(1,)]


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("no database, only words" * 99)
    with pytest.raises(ValueError, match="not a study's answers"):
        Answers(tmp_path)
