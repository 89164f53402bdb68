"""The link between two proxies of one machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config import Config, ConfigError
from proxy.link import here, keys
from proxy.link.peers import Peers


def configured(upstream: str, downstream: str, state: Path = Path("state"), **far: object) -> Config:
    config = Config()
    return replace(
        config,
        upstream=replace(config.upstream, link=upstream, state_dir=str(state / "upstream"), **far),
        downstream=replace(config.downstream, link=downstream, state_dir=str(state / "downstream")),
    )


@pytest.mark.parametrize(
    ("upstream", "downstream", "wanted"),
    [
        ("auto", "auto", ("h2", "h2")),
        ("auto", "h2", ("h2", "h2")),
        ("h2", "auto", ("h2", "h2")),
        ("chain", "auto", ("chain", "chain")),
        ("auto", "chain", ("chain", "chain")),
        ("h2", "chain", ("h2", "chain")),  # for others
    ],
)
def test_auto_is_the_link_unless_a_side_asks_for_chaining(
    upstream: str, downstream: str, wanted: tuple[str, str]
) -> None:
    found = here.settled(configured(upstream, downstream))
    assert (found.upstream.link, found.downstream.link) == wanted


def test_auto_takes_any_free_port_of_this_machine_and_h2_the_configured_one() -> None:
    place = {"link_host": "0.0.0.0", "link_port": 9000}
    auto = here.settled(configured("auto", "auto", **place)).upstream
    assert (auto.link_host, auto.link_port) == ("127.0.0.1", 0)
    told = here.settled(configured("h2", "auto", **place)).upstream
    assert (told.link_host, told.link_port) == ("0.0.0.0", 9000)


def test_a_link_to_an_upstream_without_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="set link in \\[upstream\\]"):
        here.settled(configured("chain", "h2"))


def test_keys_are_made_and_known_to_each_other_once(tmp_path: Path) -> None:
    config = here.settled(configured("auto", "auto", tmp_path))
    here.paired(config)
    far, near = (here.link_folder(str(tmp_path / role)) for role in ("upstream", "downstream"))
    assert list(Peers(far).all()) == [keys.load_or_make(near).fingerprint]
    assert list(Peers(near).all()) == [keys.load_or_make(far).fingerprint]
    before = Peers(far).all()
    here.paired(config)
    assert Peers(far).all() == before


def test_chained_proxies_are_not_paired(tmp_path: Path) -> None:
    here.paired(here.settled(configured("chain", "auto", tmp_path)))
    assert not any(tmp_path.iterdir())
