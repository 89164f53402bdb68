from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.headers import Headers
from proxy.negotiation import Accept
from proxy.tiers import Terms, saves_data, shown_formats, terms, thin

ACCEPT = Accept("sketch@01234567", "0123456789abcdef")
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


def asked(**fields: str) -> Headers:
    return Headers.of((name.replace("_", "-"), value) for name, value in fields.items())


def test_downstreams_tier_is_above_the_configured_one() -> None:
    assert terms("balanced", ACCEPT, asked()).tier == "balanced"
    for tier in ("economy", "faithful", "off"):
        named = Accept(ACCEPT.engine, ACCEPT.nonce, tier=tier)
        assert terms("balanced", named, asked()).tier == tier
        assert terms(tier, ACCEPT, asked()).tier == tier


@pytest.mark.parametrize(
    "hint",
    [
        {"Save_Data": "on"},
        {"Sec_CH_Prefers_Reduced_Data": "reduce"},
        {"Sec_CH_Save_Data": "?1"},
        {"ECT": "2g"},
        {"Sec_CH_ECT": '"slow-2g"'},
        {"Downlink": "0.1"},
        {"RTT": "2000"},
        {"Sec_CH_RTT": "1400"},
    ],
)
def test_a_thin_network_lowers_balanced_and_nothing_else(hint: dict[str, str]) -> None:
    assert terms("balanced", ACCEPT, asked(**hint)).tier == "economy"
    for tier in ("economy", "faithful", "off"):
        assert terms(tier, ACCEPT, asked(**hint)).tier == tier


@pytest.mark.parametrize(
    "hint",
    [
        {"Save_Data": "off"},
        {"ECT": "4g"},
        {"Downlink": "10"},
        {"Downlink": "0"},
        {"RTT": "50"},
        {"RTT": "nan"},
        {"RTT": "9" * 4000},
        {"Downlink": "-inf"},
    ],
)
def test_a_good_network_and_nonsense_change_nothing(hint: dict[str, str]) -> None:
    assert terms("balanced", ACCEPT, asked(**hint)).tier == "balanced"


def test_the_link_that_downstream_measures_counts() -> None:
    for link, tier in (("slow-2g", "economy"), ("2g", "economy"), ("3g", "balanced"), ("4g", "balanced")):
        assert terms("balanced", Accept(ACCEPT.engine, ACCEPT.nonce, link=link), asked()).tier == tier


def test_formats_are_the_browsers_and_downstreams() -> None:
    assert terms("balanced", ACCEPT, asked(Accept=CHROME)) == Terms("balanced", ("avif", "webp"), moving=True)
    assert terms("balanced", ACCEPT, asked(Accept="*/*")).formats == ()
    only_downstream = Accept(ACCEPT.engine, ACCEPT.nonce, formats=("webp",))
    assert terms("balanced", only_downstream, asked(Accept="*/*")) == Terms("balanced", ("webp",), moving=False)
    recodes = Accept(ACCEPT.engine, ACCEPT.nonce, formats=("avif", "pcx"))
    assert terms("balanced", recodes, asked(Accept="image/webp,*/*")).formats == ("avif", "webp")


def test_only_formats_named_outright_and_not_refused_count() -> None:
    assert shown_formats(CHROME) == {"avif", "webp"}
    assert shown_formats("image/jxl, IMAGE/AVIF;q=0.5") == {"jxl", "avif"}
    assert shown_formats("image/avif;q=0, image/webp;q=0.000, image/*") == frozenset()
    assert shown_formats(None) == shown_formats("") == frozenset()


@given(st.text(max_size=200), st.text(max_size=20))
def test_no_value_is_an_error(accept: str, hint: str) -> None:
    shown_formats(accept)
    headers = asked(Save_Data=hint, ECT=hint, Downlink=hint, RTT=hint)
    saves_data(headers)
    thin(headers, hint)
