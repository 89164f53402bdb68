"""Every rule of the document, over real sockets; and the document lists every rule."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from tests.conformance.rule import shown
from tests.conformance.rules import RULES
from tests.conformance.stand import Stand, pair
from tests.conformance.table import DOCUMENT, FAILED, NOT_ASKED, PASSED, attempt, ordered, row

Run = tuple[asyncio.Runner, Stand]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One pair for all rules, and the loop that its origin lives in."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        try:
            stand = runner.run(stack.enter_async_context(pair(tmp_path_factory.mktemp("conformance"))))
            yield runner, stand
        finally:
            runner.run(stack.aclose())


@pytest.mark.parametrize("name", [rule.name for rule in ordered()])
def test_rule(running: Run, name: str) -> None:
    runner, stand = running
    assert runner.run(attempt(RULES[name], stand)) == "", RULES[name].text


def test_the_document_lists_every_rule_as_it_is() -> None:
    lines = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| ") and "`" in line]
    rows, results = zip(*(line.rstrip("|").rstrip().rsplit(" | ", 2)[:2] for line in lines), strict=True)
    wanted = [row(rule).removesuffix(" |") for rule in ordered()]
    assert list(rows) == wanted, "write it anew: python -m tests.conformance.table > docs/conformance.md"
    assert set(results) == {PASSED}, "a rule did not hold when the document was written"


def test_a_broken_rule_is_seen(running: Run) -> None:
    runner, stand = running

    async def broken() -> str:
        path = stand.place(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", "broken")
        rule = RULES["method-get"]
        return await attempt(type(rule)(rule.name, "", "", "", lambda s: _shown(s, path)), stand)

    assert "AssertionError" in runner.run(broken())


async def _shown(stand: Stand, path: str) -> None:
    shown(await stand.ask(path=path))


def test_there_are_enough_rules_and_every_result_has_a_sign() -> None:
    assert len(RULES) >= 80 and len({PASSED, FAILED, NOT_ASKED}) == 3
    assert all(rule.text and rule.source for rule in RULES.values())
