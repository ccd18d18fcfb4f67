"""Colours of classes: what people expect of common ones, and colours told apart of the others."""

import colorsys
import re
from collections.abc import Sequence

type Colour = tuple[int, int, int]

#: Colours of common classes, and the words that name them. People of any colour vision tell them
#: apart: at least 18 lie between two in CIELAB, as Machado, Oliveira and Fernandes 2009 model it.
EXPECTED = {
    '#0072b2': 'water waterbody river lake sea sealake ocean pond stream canal',
    '#004d1a': 'forest tree treecover wood woodland canopy',
    '#d55e00': 'building house roof residential builtup',
    '#333333': 'road street highway',
    '#777777': 'impervious pavement paved asphalt',
    '#78c679': 'grass grassland lawn meadow pasture vegetation herbaceous',
    '#ffe34d': 'field crop cropland farmland agriculture agricultural arable',
    '#aa7744': 'bare barren soil sand rock',
    '#d9f0ff': 'snow ice glacier',
    '#aaaaaa': 'background other clutter rest unknown outside padding nodata',
}

#: Words of names that say what a class is not.
NEGATIONS = {'no', 'non', 'not', 'without'}

#: Colours of the other classes, likewise told apart (Okabe and Ito 2008; Tol 2021).
PALETTE = (
    *('#e69f00', '#56b4e9', '#009e73', '#f0e442', '#0072b2', '#d55e00', '#cc79a7'),
    *('#332288', '#999933', '#882255', '#44aa99', '#ddcc77', '#117733', '#88ccee', '#aa4499'),
)

#: How far, of 0 to 441, a colour of the palette is from each that a name was given.
APART = 70


def class_colours(names: Sequence[str]) -> tuple[Colour, ...]:
    """Give each class a colour that none of the others has.

    The first class that a common word names gets the colour that people expect of it: water is
    blue, a forest dark green. The others take colours of a palette in their order, and hues when
    it is used up.

    Args:
        names: Of the classes, in the order of their numbers.

    Returns:
        Red, green and blue, 0..255, for each.
    """
    found: dict[int, Colour] = {}
    for number, name in enumerate(names):
        colour = _expected(name)
        if colour and colour not in found.values():
            found[number] = colour
    named = tuple(found.values())
    free = [one for one in map(_parts, PALETTE) if all(_distance(one, n) > APART for n in named)]
    others = [number for number in range(len(names)) if number not in found]
    for place, number in enumerate(others):
        found[number] = free[place] if place < len(free) else _hue(place, set(found.values()))
    return tuple(found[number] for number in range(len(names)))


def _expected(name: str) -> Colour | None:
    """Return the colour of the last common word of a name, which is what it is about."""
    said = re.findall('[a-z]+', name.lower())
    if NEGATIONS.intersection(said):
        return None
    for word in reversed(said):
        for colour, words in EXPECTED.items():
            if {word, word.removesuffix('s')} & {*words.split()}:
                return _parts(colour)
    return None


def _hue(place: int, taken: set[Colour]) -> Colour:
    """Return a colour that is not taken; hues by the golden ratio lie far apart."""
    while True:
        hsv = place * 0.618034 % 1, 1 - place % 2 * 0.5, 1 - place % 3 * 0.25
        red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(*hsv))
        if (red, green, blue) not in taken:
            return red, green, blue
        place += 1


def _parts(text: str) -> Colour:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _distance(one: Colour, other: Colour) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
