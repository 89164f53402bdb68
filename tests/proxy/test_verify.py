from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from proxy.bundle import MEDIA_TYPE, Bundle, Prompt, pack
from proxy.encode import Declined, Encoded, EncodeRequest, Measured, MeasureRequest, Shortlist
from proxy.policy import Reason
from proxy.runtime_client import Reconstructed, RuntimeCapabilities, RuntimeUnavailable
from proxy.verify import Verifier

REQUEST = EncodeRequest(b"original", words="a cup", formats=("avif",))


def bundled(seed: int) -> Encoded:
    return Encoded(pack(Bundle(4, 3, seed, prompt=Prompt(None))), MEDIA_TYPE, "thumbnail", 4, 3, "photograph", 0.8)


PICK, CHEAPER, DEARER = bundled(2), bundled(1), bundled(3)
FILE = Encoded(b"file", "image/avif", "avif", 4, 3, "")
MADE = replace(PICK, shortlist=Shortlist(CHEAPER, DEARER, FILE))


@dataclass
class Fake:
    """An engine and a meter: a picture is its bundle, and what it is worth is looked up."""

    worth: dict[bytes, float]
    broken: bool = False
    drawn: list[bytes] = field(default_factory=list)
    prompts: list[str | None] = field(default_factory=list)

    async def capabilities(self) -> RuntimeCapabilities | None:
        return None if self.broken else RuntimeCapabilities("sketch", "0123456789abcdef", (), "1", None)

    async def reconstruct(self, bundle: bytes, prompt: str | None, media_type: str, deadline_s: float) -> Reconstructed:
        if self.broken:
            raise RuntimeUnavailable("gone")
        self.drawn.append(bundle)
        self.prompts.append(prompt)
        return Reconstructed(bundle, media_type, "sketch@01234567", False, 0.0, 1.0)

    async def measure(self, request: MeasureRequest) -> Measured | Declined:
        assert request.data == REQUEST.data and request.tier == REQUEST.tier
        return Measured(0.9, self.worth[request.picture])


@pytest.mark.parametrize(
    ("pick", "cheaper", "dearer", "sent"),
    [
        (0.1, 0.1, 0.1, CHEAPER.body),
        (0.1, -0.1, 0.1, PICK.body),
        (-0.1, -0.1, 0.1, DEARER.body),
        (-0.1, -0.1, -0.1, FILE.body),
    ],
)
async def test_the_smallest_that_is_really_good_enough_is_sent(
    pick: float, cheaper: float, dearer: float, sent: bytes
) -> None:
    fake = Fake({PICK.body: pick, CHEAPER.body: cheaper, DEARER.body: dearer})
    made = await Verifier(fake, fake).best(REQUEST, MADE)
    assert isinstance(made, Encoded) and made.body == sent and made.shortlist is None
    assert len(fake.drawn) == 2 and fake.drawn[0] == PICK.body
    assert fake.prompts == ["a cup", "a cup"], "the page's own words"


async def test_without_a_file_what_is_not_good_enough_is_not_sent() -> None:
    fake = Fake({PICK.body: -0.1})
    made = await Verifier(fake, fake).best(REQUEST, replace(PICK, shortlist=Shortlist()))
    assert isinstance(made, Declined) and made.reason is Reason.NO_GAIN and len(fake.drawn) == 1


async def test_a_lost_engine_leaves_the_prediction() -> None:
    fake = Fake({}, broken=True)
    made = await Verifier(fake, fake).best(REQUEST, MADE)
    assert isinstance(made, Encoded) and made.body == PICK.body
    assert not await Verifier(fake, fake).draws_for("sketch@01234567")


async def test_only_the_same_engine_and_weights_are_measured_for() -> None:
    verifier = Verifier(Fake({}), Fake({}))
    assert await verifier.draws_for("sketch@01234567")
    assert not await verifier.draws_for("sketch@76543210") and not await verifier.draws_for("preview")


async def test_files_are_not_drawn() -> None:
    fake = Fake({})
    assert await Verifier(fake, fake).best(REQUEST, FILE) is FILE and fake.drawn == []
