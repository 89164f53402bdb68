"""What a page says is a logo crosses the link as real pixels, whatever its pixels look like."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Browse, World
from tests.e2e.test_pair_images import is_preview, is_reconstruction

TRIES = 20  # a page is read beside the flow that brings it


async def test_the_same_photograph_is_drawn_unless_a_page_calls_it_a_logo(world: World, browse: Browse) -> None:
    page, image = world.http + "/shop", world.http + "/photo.jpg?as=crest"
    assert is_reconstruction(await browse(image)), "nobody says anything about it"
    assert (await browse(page, image=False)).status == 200
    for _ in range(TRIES):
        answer = await browse(image, Referer=page)
        if not is_reconstruction(answer):
            break
    assert answer.status == 200 and is_preview(answer), "a file of the same picture"
    assert is_reconstruction(await browse(world.http + "/photo.jpg?as=story", Referer=page)), "the page's other image"


@pytest.mark.parametrize("name", ["/img/acme-logo.jpg", "/icons/acme.jpg"])
async def test_a_files_name_is_enough(world: World, browse: Browse, name: str) -> None:
    answer = await browse(world.http + name)
    assert answer.status == 200 and is_preview(answer)
