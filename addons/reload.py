"""Reads the configuration again on SIGHUP, and puts to work what can change while flows pass.

In: a signal, and a way to load the configuration. Out: changed addons, a line for what was changed and what needs a
restart. Refuses: a configuration, or a file it names, that cannot be used; the old one stays in force as a whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from proxy.config import Config

logger = logging.getLogger("sketchwire.reload")

Apply = Callable[[Config], None]


class Reload:
    """`prepare` reads and checks everything a new configuration needs and returns what puts it to work, or raises.

    `live` names the keys of a role's table and of [access] that `prepare` heeds.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config] | None,
        prepare: Callable[[Config], Callable[[], None]],
        live: dict[str, frozenset[str]],
    ) -> None:
        self._config = config
        self._load = load
        self._prepare = prepare
        self._live = live

    def reload(self) -> bool:
        """Read and apply; False when the old configuration stays."""
        if self._load is None:
            logger.warning("there is no configuration file to read again")
            return False
        try:
            config = self._load()
            merged = self._merged(config)
            apply = self._prepare(merged)
        except Exception as error:  # whatever is wrong with the new one, the old one works
            logger.error("the configuration stays as it was: %s", error)
            return False
        changed, later = self._changes(config)
        apply()
        self._config = merged
        logger.info("configuration read again: %s", ", ".join(changed) or "nothing changed; its files were read again")
        if later:
            logger.warning("these take a restart: %s", ", ".join(later))
        return True

    def _changes(self, config: Config) -> tuple[list[str], list[str]]:
        changed: list[str] = []
        later: list[str] = []
        for table, live in self._live.items():
            old, new = getattr(self._config, table), getattr(config, table)
            for each in fields(new):
                if getattr(old, each.name) != getattr(new, each.name):
                    (changed if each.name in live else later).append(f"[{table}] {each.name}")
        return changed, later

    def _merged(self, config: Config) -> Config:
        """What is in force now: the new values of live keys, the old ones of the others."""
        tables: dict[str, Any] = {}
        for table, live in self._live.items():
            new = getattr(config, table)
            tables[table] = replace(getattr(self._config, table), **{name: getattr(new, name) for name in live})
        return replace(self._config, **tables)
