"""Several reconstruction runtimes, used like one.

In: their URLs; bundles with deadlines. Out: what `RuntimeClient` gives, from whichever runtime answered first. Refuses:
as that does, with `RuntimeBusy` only when every runtime in reach is busy; a bundle that one runtime will never draw is
not taken to the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from proxy.runtime_client import (
    Reconstructed,
    ReconstructionError,
    Runtime,
    RuntimeBusy,
    RuntimeCapabilities,
    RuntimeClient,
    RuntimeRefused,
    RuntimeTimeout,
    RuntimeUnavailable,
)
from proxy.runtimes.balance import Balance, Standing

LONGEST_REST_S = 5.0

_log = logging.getLogger("sketchwire.runtimes")


class Member(Runtime, Protocol):
    """One runtime of the pool."""

    async def close(self) -> None:
        """Close its connections."""


class RuntimePool:
    """The runtimes at `urls`, in the order of preference. Use as `async with`; it belongs to one event loop."""

    def __init__(self, urls: Sequence[str], *, connect: Callable[[str], Member] = RuntimeClient) -> None:
        if not urls:
            raise ValueError("a pool needs at least one runtime")
        self.members: tuple[Member, ...] = tuple(connect(url) for url in urls)
        self.balance = Balance(len(self.members))
        self.hedged = 0  # second questions asked
        self.hedges_won = 0  # of which the second answer came first

    async def __aenter__(self) -> RuntimePool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(member.close() for member in self.members))

    async def capabilities(self) -> RuntimeCapabilities | None:
        """What the announced engine can do (`Balance.announced`); None when no runtime can be reached. Never raises."""
        found = await asyncio.gather(*(member.capabilities() for member in self.members))
        for standing, here in zip(self.balance.standings, found, strict=True):
            standing.label = here.label if here is not None else None
        announced = self.balance.announced()
        return next((here for here in found if here is not None and here.label == announced), None)

    async def reconstruct(
        self,
        bundle: bytes,
        prompt: str | None,
        media_type: str,
        deadline_s: float,
        *,
        quality: int | None = None,
        client: str | None = None,
    ) -> Reconstructed:
        """The picture of `bundle`, from the least loaded runtime; from the next one where that is busy or away.

        When it takes longer than 19 of 20 pictures did, another runtime is asked besides, and the first answer counts.
        Raises what `RuntimeClient.reconstruct` raises: RuntimeBusy when all that can be reached are busy.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + deadline_s
        self.balance.first_asked()

        def ask(standing: Standing) -> asyncio.Task[Reconstructed]:
            self.balance.began(standing, loop.time())
            work = self._ask(standing, bundle, prompt, media_type, until_s, quality, client)
            return asyncio.create_task(work)

        tried: list[Standing] = []
        under_way: dict[asyncio.Task[Reconstructed], Standing] = {}
        trouble: list[ReconstructionError] = []
        try:
            while True:
                if not under_way:
                    following = next((s for s in self.balance.order(loop.time()) if s not in tried), None)
                    if following is None or loop.time() >= until_s:
                        raise _worst(trouble)
                    tried.append(following)
                    under_way[ask(following)] = following
                wait_s = self.balance.hedge_after_s() if len(under_way) == 1 else None
                done, _ = await asyncio.wait(under_way, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    first = next(iter(under_way.values()))
                    second = self.balance.hedge(first, tried, loop.time())
                    if second is None:
                        done, _ = await asyncio.wait(under_way)
                    else:
                        self.hedged += 1
                        tried.append(second)
                        under_way[ask(second)] = second
                for task in done:
                    standing = under_way.pop(task)
                    try:
                        made = task.result()
                    except RuntimeRefused:
                        raise
                    except ReconstructionError as error:
                        trouble.append(error)
                    else:
                        self.hedges_won += bool(under_way) and standing is tried[-1] and len(tried) > 1
                        return made
        finally:
            for task in under_way:
                task.cancel()
            if under_way:
                await asyncio.wait(under_way)

    async def _ask(
        self,
        standing: Standing,
        bundle: bytes,
        prompt: str | None,
        media_type: str,
        until_s: float,
        quality: int | None,
        client: str | None,
    ) -> Reconstructed:
        """Ask one runtime, and tell the balance how it went."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        member = self.members[standing.place]
        try:
            made = await member.reconstruct(
                bundle, prompt, media_type, max(0.001, until_s - began_s), quality=quality, client=client
            )
        except RuntimeBusy as error:
            self.balance.busy(standing, loop.time() + min(error.retry_after_s, LONGEST_REST_S))
            raise
        except RuntimeRefused:
            self.balance.refused(standing)
            raise
        except ReconstructionError as error:
            self.balance.failed(standing, loop.time())
            if isinstance(error, RuntimeUnavailable):
                standing.label = None
            _log.info("runtime %d: %s", standing.place + 1, error)
            raise
        except BaseException:  # cancelled, or the caller's mistake
            self.balance.dropped(standing)
            raise
        self.balance.answered(standing, None if made.cache_hit else loop.time() - began_s)
        return made


def _worst(trouble: Sequence[ReconstructionError]) -> ReconstructionError:
    """What to tell when nobody drew it: a late answer before a busy runtime, a busy one before absent ones."""
    for kind in (RuntimeTimeout, RuntimeBusy):
        for error in trouble:
            if isinstance(error, kind):
                return error
    return trouble[-1] if trouble else RuntimeUnavailable("no runtime can be reached")
