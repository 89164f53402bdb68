"""The link between two proxies of one machine, which need no code and no settings.

In: the configuration of `sketchwire up`. Out: the same with `auto` settled, and paired keys. Refuses: a downstream
proxy that wants the link of an upstream proxy that does not listen for it (ConfigError).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from proxy.config import LOOPBACK, Config, ConfigError
from proxy.link.pairing import pair_here


def settled(config: Config) -> Config:
    """With `auto` settled: the link on any free port of this machine, unless either side asks for ordinary chaining.

    Raises ConfigError.
    """
    upstream, downstream = config.upstream, config.downstream
    if upstream.link == "chain" and downstream.link == "h2":
        raise ConfigError('[downstream] link = "h2" needs an upstream proxy with it: set link in [upstream] to h2, too')
    if upstream.link == "auto":
        linked = downstream.link != "chain"
        upstream = replace(upstream, link="h2" if linked else "chain", link_host=LOOPBACK, link_port=0)
    if downstream.link == "auto":
        downstream = replace(downstream, link=upstream.link)
    return replace(config, upstream=upstream, downstream=downstream)


def paired(config: Config) -> None:
    """Let the two proxies know each other's keys, if they are to use the link. Raises OSError, PeersUnreadable."""
    if config.upstream.link == config.downstream.link == "h2":
        pair_here(link_folder(config.upstream.state_dir), link_folder(config.downstream.state_dir))


def link_folder(state_dir: str) -> Path:
    """Where a role keeps what belongs to the link."""
    return Path(state_dir).expanduser() / "link"
