"""Two looks at a page are compared as a person would."""

from tests.e2e.chromium import ShownImage
from tests.e2e.look import Look, differences


def test_a_worse_page_is_seen() -> None:
    image = ShownImage("https://a/b.png", 10, 20)
    whole = Look((("IMG", 0.0, 0.0, 10.0, 20.0),), (image,), frozenset(("Failed to load resource https://x/",)))
    assert differences(whole, whole) == []
    near = Look((("IMG", 0.6, 0.0, 10.0, 20.9),), (image,), frozenset())
    assert differences(whole, near) == []
    for worse in (
        Look((("IMG", 0.0, 1.2, 10.0, 20.0),), (image,), frozenset()),
        Look((), (image,), frozenset()),
        Look(whole.boxes, (ShownImage("https://a/b.png", 0, 0),), frozenset()),
        Look(whole.boxes, (), frozenset()),
        Look(whole.boxes, whole.images, frozenset(("TypeError: x is null",))),
    ):
        assert len(differences(whole, worse)) == 1
