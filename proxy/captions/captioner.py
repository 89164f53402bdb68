"""Captions images: looks at them, asks, checks the answer, counts the cost, remembers.

In: an image file's bytes. Out: `Caption` or `NoCaption`; never raises for what an image or a server does. Refuses:
images with faces unless they are allowed, kinds that are never drawn, requests over the rate or the day's money,
answers that are no plain caption.

Neither the image's address nor its page's leaves this side; the image goes out reduced and without metadata. Requests
for one picture are shared, and one image at a time is looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from proxy.breaker import Breaker
from proxy.captions.clean import clean
from proxy.captions.limits import DailyMoney, Prices, TokenBucket
from proxy.captions.memory import CaptionMemory
from proxy.captions.outcome import Caption, NoCaption, Refusal, Spent
from proxy.captions.question import caption_of, hint_of, messages, text_of, tokens_of
from proxy.captions.server import Server, ServerFailure
from proxy.captions.sight import Eye, Sight
from proxy.config import CaptionsConfig

log = logging.getLogger("sketchwire.captions")

FIRST_WAIT_S, MAX_WAIT_S = 0.5, 20.0
ASSUMED_INPUT_TOKENS = 1500  # when a server does not say, and for what a request may cost at most
MAX_WAITING = 64
_RECENT = 2048  # outcomes by the files' own digests, so that the same bytes are not looked at again
_LASTING = frozenset((Refusal.FACES, Refusal.UNSEARCHED, Refusal.KIND, Refusal.UNREADABLE))
_LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))


class Captioner:
    """Captions on the terms of a configuration; close it at the end. `state_dir` None remembers nothing on disk."""

    def __init__(
        self, config: CaptionsConfig, state_dir: Path | None, environment: Mapping[str, str] = os.environ
    ) -> None:
        key = environment.get(config.api_key_env, "") if config.api_key_env else ""
        if not key and urlsplit(config.base_url).hostname not in _LOOPBACK:
            log.warning("captions: the environment variable %s is not set", config.api_key_env or "api_key_env")
        self._config = config
        self._server = Server(config.base_url, config.model, key or "none", config.max_output_tokens)
        self._eye = Eye(config.side_px)
        self._memory = CaptionMemory(state_dir / "captions.sqlite" if state_dir else None, config.model, config.entries)
        self._prices = Prices(config.input_price, config.output_price)
        self._bucket = TokenBucket(config.per_minute, config.per_minute / 4, time.monotonic())
        self._money = DailyMoney(config.daily_money, _today(), self._memory.spent_on(_today()))
        self._breaker = Breaker(cool_s=60.0)
        self._recent: OrderedDict[bytes, Caption | NoCaption] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Task[Caption | NoCaption]] = {}
        self.spent = Spent()

    async def words_for(self, data: bytes, words: str | None = None) -> str | None:
        """The prompt for the image in `data`: the page's words where there are any, else its caption if there is one
        within `wait_s`; the request goes on for those who ask later.
        """
        if words or len(self._under_way) >= MAX_WAITING:
            return words
        task = self._task(data, None)
        await asyncio.wait((task,), timeout=self._config.wait_s)
        outcome = task.result() if task.done() and not task.cancelled() else None
        return outcome.text if isinstance(outcome, Caption) else None

    async def caption(self, data: bytes, hint: str | None = None) -> Caption | NoCaption:
        """The caption of the image in `data`. A page's words as `hint` are sent only where the configuration says
        so, as plain words and marked as data.
        """
        return await asyncio.shield(self._task(data, hint))

    async def close(self) -> None:
        """Give up what is under way, and close the connections and the file."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        await self._server.close()
        self._eye.close()
        self._memory.close()

    def _task(self, data: bytes, hint: str | None) -> asyncio.Task[Caption | NoCaption]:
        digest = hashlib.sha256(data).digest()
        task = self._under_way.get(digest)
        if task is None:
            task = self._under_way[digest] = asyncio.create_task(self._remembered(digest, data, hint))
            task.add_done_callback(lambda _: self._under_way.pop(digest, None))
        return task

    async def _remembered(self, digest: bytes, data: bytes, hint: str | None) -> Caption | NoCaption:
        known = self._recent.get(digest)
        if known is not None:
            self._recent.move_to_end(digest)
            return (
                Caption(known.text, cached=True)
                if isinstance(known, Caption)
                else NoCaption(known.refusal, known.detail)
            )
        try:
            outcome = await self._caption(data, hint)
        except Exception:
            log.exception("captions: a defect")
            return NoCaption(Refusal.SERVER, "a defect here; the log says more")
        if isinstance(outcome, Caption) or outcome.refusal in _LASTING:
            self._recent[digest] = outcome
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        self._tell(outcome)
        return outcome

    async def _caption(self, data: bytes, hint: str | None) -> Caption | NoCaption:
        began_s = time.monotonic()
        sight = await self._eye.look(data)
        if isinstance(sight, NoCaption):
            return sight
        if not self._config.allow_faces:
            if sight.faces is None:
                return NoCaption(
                    Refusal.UNSEARCHED, "no detector of faces here; allow_faces would send it all the same"
                )
            if sight.faces:
                return NoCaption(Refusal.FACES, f"{sight.faces} faces")
        known = self._memory.find(sight.fingerprint)
        if known is not None:
            return Caption(known, cached=True, took_ms=(time.monotonic() - began_s) * 1000)
        if not self._breaker.allows(time.monotonic()):
            return NoCaption(Refusal.PAUSED, "the server failed several times in a row")
        if not self._bucket.take(time.monotonic()):
            return NoCaption(Refusal.RATE, f"over {self._config.per_minute:g} a minute")
        try:
            await self._server.load()
        except ServerFailure as failure:
            return NoCaption(failure.refusal, failure.detail)
        sent = hint_of(hint) if self._config.page_words else None
        outcome = await self._asked(sight, sent, began_s)
        if isinstance(outcome, Caption):
            self._memory.keep(sight.fingerprint, outcome.text)
        return outcome

    async def _asked(self, sight: Sight, hint: str | None, began_s: float) -> Caption | NoCaption:
        """Ask until there is an answer, the tries are used up or the time is."""
        question = messages(sight.jpeg, self._config.max_chars, hint)
        until_s = time.monotonic() + self._config.timeout_s
        at_most = self._prices.of(ASSUMED_INPUT_TOKENS, self._config.max_output_tokens)
        spent, attempt = Spent(), 0
        while True:
            if not self._money.reserve(_today(), at_most):
                return NoCaption(Refusal.BUDGET, "the day's money is spent", spent)
            cost = 0.0
            try:
                left_s = until_s - time.monotonic()
                async with asyncio.timeout(left_s):
                    answer = await self._server.ask(question, left_s)
                used = tokens_of(answer) or (ASSUMED_INPUT_TOKENS, self._config.max_output_tokens)
                cost = self._prices.of(*used)
                spent = Spent(used[0], used[1], spent.money + cost, spent.requests + 1)
                self._breaker.succeeded()
                return self._read(answer, spent, began_s)
            except TimeoutError:
                failure = ServerFailure(Refusal.TIMEOUT, f"no answer within {self._config.timeout_s:g} s")
                cost = at_most  # it may have worked for us all the same
            except ServerFailure as error:
                failure = error
                cost = at_most if error.refusal in (Refusal.TIMEOUT, Refusal.MALFORMED) else 0.0
            finally:
                self._money.settle(at_most, cost)
                self._memory.keep_spent(self._money.day, self._money.spent)
                self._count(spent, cost)
            self._breaker.failed(time.monotonic())
            spent = Spent(spent.input_tokens, spent.output_tokens, spent.money + cost, spent.requests + 1)
            attempt += 1
            wait_s = failure.wait_s if failure.wait_s is not None else FIRST_WAIT_S * 2 ** (attempt - 1)
            wait_s *= random.uniform(1.0, 1.25)
            late = time.monotonic() + wait_s >= until_s
            if not failure.retry or attempt > self._config.retries or wait_s > MAX_WAIT_S or late:
                return NoCaption(failure.refusal, failure.detail, spent)
            await asyncio.sleep(wait_s)

    def _read(self, answer: object, spent: Spent, began_s: float) -> Caption | NoCaption:
        try:
            said = caption_of(text_of(answer))
        except ValueError as error:
            return NoCaption(Refusal.MALFORMED, str(error), spent)
        text = clean(said, self._config.max_chars)
        if text is None:
            return NoCaption(Refusal.UNSAFE, "it gives orders, or has markup or addresses in it", spent)
        return Caption(text, spent, took_ms=(time.monotonic() - began_s) * 1000)

    def _count(self, spent: Spent, cost: float) -> None:
        """Add one request to what all have cost; `spent` is its own where it succeeded."""
        self.spent = Spent(
            self.spent.input_tokens + spent.input_tokens,
            self.spent.output_tokens + spent.output_tokens,
            self.spent.money + cost,
            self.spent.requests + 1,
        )

    def _tell(self, outcome: Caption | NoCaption) -> None:
        """One line for each image; numbers and codes only."""
        spent = outcome.spent
        what = (
            f"refused: {outcome.refusal}" if isinstance(outcome, NoCaption) else "cached" if outcome.cached else "made"
        )
        log.info(
            "caption %s; %d requests, %d + %d tokens, %.6f money; %.6f today",
            *(what, spent.requests, spent.input_tokens, spent.output_tokens, spent.money, self._money.spent),
        )


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
