"""What the newspaper says: five articles in a small markup.

In: nothing. Out: `ARTICLES`; blocks are parted by blank lines: `## heading`, `[image name]`, else a paragraph. Refuses:
to depend on any one photograph: a figure whose file is missing is left out by the layout.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Article:
    """One page: `lead` is the image of its teaser on the front page."""

    name: str
    section: str
    title: str
    summary: str
    lead: str
    text: str


SPACE = """
Three pictures hang in the reading room of the public library this month, and all three point up. The librarians chose
them because they answer the question children ask most often: how far can we see, and who has been to look?

[image deep-field]

## Ten years of looking at nothing

The patch of sky is smaller than a grain of sand held at arm's length, and to every telescope on the ground it is
empty. Astronomers pointed the Hubble Space Telescope at it for some fifty days, spread over ten years, and added up
the light. About five and a half thousand galaxies came out of the dark, some of them seen as they were more than
thirteen billion years ago.

## A satellite that watches the whole day side

[image launch-pad]

In February 2015 a Falcon 9 lifted the Deep Space Climate Observatory off from Florida. It now circles a point a
million and a half kilometres from Earth, where the pulls of Sun and Earth balance, and sends home pictures of the
whole sunlit face of the planet, several times a day.

## The commander

[image eileen-collins]

Eileen Collins flew four times. In 1995 she was the first woman to pilot a space shuttle, and in 1999 the first to
command one. "We need pictures in schoolbooks in which somebody looks like the reader," says the library's director,
who hung hers at the height of a nine-year-old's eyes.
"""

GARDEN = """
The warm spring has brought the season forward by nearly three weeks, and the wardens of the botanical garden have
stopped trying to print a calendar. Come now, they say, and come again in a fortnight.

[image dahlia]

The dahlias behind the palm house were lifted in October, slept in dry sand through the winter and went back into the
ground in March. Those that open now were started under glass; the ones in the long border will follow until the first
frost.

[image tulips]

## The tulips are nearly over

Forty thousand bulbs were planted along the canal walk. The lily-flowered ones at the eastern end stand in the shade
of the limes and have lasted longest.

[image monarch]

## Guests on the wing

The butterfly house has its first monarchs of the year. They hatch in the morning, dry their wings for an hour or two,
and by noon they find the valerian without being told.

[image macaws]

Next door the macaws disagree about everything, loudly, and then sit wing to wing. The keepers ask visitors not to
teach them any more words.

## The garden's real director

[image chelsea]

Nobody can remember when the cat moved into the ticket booth. She inspects handbags, prefers the warm end of the
counter, and was photographed last year more often than the giant water lily.
"""

TRAVEL = """
You can see a great deal of the world at walking pace and at the pace of the wind. Three readers sent us postcards
from places where hurrying would have spoiled the point.

[image pagoda]

## Beijing, before breakfast

The gates of the Summer Palace open early, and for half an hour the long gallery belongs to people with bird cages and
thermos flasks. Climb Longevity Hill then. From below the Tower of Buddhist Incense looks like part of the hill; from
its terrace the lake seems to be poured up to the edge of the sky.

[image sails]

## A starting line with no lanes

Two hundred boards wait behind a line that exists only between a buoy and a flag. Everybody drifts over it, everybody
is called back. When the horn goes, writes our reader, there is a sound like a very large bird shaking itself.

[image espresso]

## Trieste, at the counter

There are more words for coffee here than for rain. Ask for a nero and you get an espresso in a cup; ask for a nero in
b and it comes in a glass, because there was once a reason. Nobody sits down.

[image compass]

Where next? Write to the travel desk. We print the postcards that make us miss our train.
"""

TOWN = """
The inner harbour bridge will be closed at night for two weeks, the harbour office has announced. Pedestrians and
cyclists are sent to the lower ferry, which was carrying more people than ever before the works began.

[image notice]

## A free ride, for once

Fares are dropped for as long as the bridge is closed. The harbour master expects some four thousand additional
passengers a week, which the two boats can carry if nobody brings furniture.

[image ferry-chart]

The ferry nearly went out of service four years ago, when hardly anybody had a reason to cross. Since then the new
market on the south bank has filled the boats again.

## The light stays on

[image lighthouse]

The pier light was to be dimmed for the works. After protests from the rowing club it will keep turning all night.

## Found on the south bank

[image coins]

The museum next to the market borrows a case of old coins for the autumn. Most are smaller than a thumbnail; bring
glasses.

[image camera-operator]

A volunteer films the works every day from the same spot on the lawn, one frame an hour, whatever the weather. The
film will be about four minutes long.

[image motorcycle]

## For sale, one careful owner

The workshop under the arches has finished its restoration course. The red motorcycle that sixteen students took apart
and put together again is to be sold in aid of the next one. It starts, the teacher promises, on the second kick.
"""

CREDITS = """
The Tidewater Post does not exist. It was made to show what happens to a page's images on their way through a pair of
proxies. Its articles are written for the purpose: what they say about space, palaces and butterflies is true as far
as we know, and the town, its bridge and its ferry are invented.

The masthead, the chart, the notice, the compass and the lighthouse are drawn by the demonstration itself. They should
reach you exactly as they were made, because a drawn-again letter or number would be a lie.
"""

ARTICLES = (
    Article("space", "Science", "Three pictures that point up",
            "A sky full of galaxies, a rocket at dusk and an astronaut: what hangs in the library this month.",
            "deep-field", SPACE),
    Article("garden", "Nature", "The garden is three weeks early",
            "Dahlias, tulips, the first monarchs, and the cat that runs the ticket booth.", "dahlia", GARDEN),
    Article("travel", "Travel", "Three places not to hurry through",
            "A tower above a lake, two hundred sails on one line and a coffee with a complicated name.", "espresso",
            TRAVEL),
    Article("town", "Town", "Bridge closes at night, ferry is free",
            "For two weeks the lower ferry carries everybody who would have crossed the bridge.", "motorcycle", TOWN),
    Article("credits", "About", "About this paper and its pictures",
            "Who took the photographs, and under which terms they are shown.", "", CREDITS),
)  # fmt: skip
