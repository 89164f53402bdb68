"""A short run of tests/fuzz/fuzz_access.py."""

from __future__ import annotations

import random

from proxy.access.pairing import Tokens
from proxy.onboarding.forms import Forms
from tests.fuzz.fuzz_access import SEEDS, mutate, read


def test_nothing_that_strangers_write_is_a_defect() -> None:
    chance, tokens, forms = random.Random(7), Tokens(("b" * 43,)), Forms(b"key")
    assert sum(read(mutate(chance.choice(SEEDS), chance), tokens, forms) for _ in range(2_000)) > 500
