"""Which band is red, in every convention."""

import pytest

from xscale.datasets.bands import BandChoice, choose, recognise
from xscale.errors import BandsNotFoundError

SENTINEL2 = ('B02', 'B03', 'B04', 'B05', 'B08', 'B8A', 'B11', 'B12')
LANDSAT = ('SR_B2', 'SR_B3', 'SR_B4', 'SR_B5', 'SR_B6', 'SR_B7')
GREY = ('undefined',) * 8


def pick(wanted: list[str], names: tuple[str | None, ...], gsd: float) -> BandChoice:
    return choose(wanted, names, GREY[: len(names)], gsd)


@pytest.mark.parametrize(
    ('names', 'gsd', 'convention', 'indexes'),
    [
        (('R', 'G', 'B', 'N'), 0.6, 'naip', (1, 2, 3, 4)),
        (('B', 'G', 'R', 'NIR'), 1.0, 'naip', (3, 2, 1, 4)),
        (SENTINEL2, 10.0, 'sentinel-2', (3, 2, 1, 5)),
        (('B8', 'B4', 'B3', 'B2'), 20.0, 'sentinel-2', (2, 3, 4, 1)),
        (LANDSAT, 30.0, 'landsat-8-9', (3, 2, 1, 4)),
        (('TOA_B5', 'TOA_B4', 'TOA_B3', 'TOA_B2'), 30.0, 'landsat-8-9', (2, 3, 4, 1)),
        (('red', 'green', 'blue', 'nir'), 3.0, 'common names', (1, 2, 3, 4)),
        (('Blue', 'Green', 'Red', 'Alpha', 'NIR'), 0.1, 'common names', (3, 2, 1, 5)),
    ],
)
def test_common_names_in_every_convention(
    names: tuple[str, ...], gsd: float, convention: str, indexes: tuple[int, ...]
) -> None:
    choice = pick(['red', 'green', 'blue', 'nir'], names, gsd)
    assert choice.indexes == indexes
    assert choice.source == convention
    assert choice.names == tuple(names[index - 1] for index in indexes)


@pytest.mark.parametrize(
    ('gsd', 'red_edge_or_nir'), [(30.0, 'nir'), (28.0, 'nir'), (10.0, None), (20.0, None)]
)
def test_b5_is_near_infrared_only_at_landsats_gsd(gsd: float, red_edge_or_nir: str | None) -> None:
    names = ('B4', 'B5', 'B8')
    found = pick(['nir'], names, gsd).indexes
    assert found == ((2,) if red_edge_or_nir == 'nir' else (3,))


def test_swir_differs_between_families_that_share_names() -> None:
    assert pick(['swir16'], ('B6', 'B11'), 30.0).indexes == (1,)
    assert pick(['swir16'], ('B6', 'B11'), 20.0).indexes == (2,)


@pytest.mark.parametrize('name', ['B4', 'b4', 'B04', 'b04', 'SR_B4', 'sr_b04', ' B04 '])
def test_spellings_of_one_description(name: str) -> None:
    for own in ('B04', 'B4', 'SR_B4'):
        assert pick([name], ('B02', own), 10.0).indexes == (2,)


def test_b10_is_not_b1() -> None:
    assert pick(['B1'], ('B10', 'B01'), 60.0).indexes == (2,)
    assert pick(['B10'], ('B01', 'B10'), 60.0).indexes == (2,)


def test_numbers_come_before_names_and_keep_their_order() -> None:
    choice = pick(['3', '1'], ('R', 'G', 'B', 'N'), 1.0)
    assert choice.indexes == (3, 1)
    assert choice.names == ('B', 'R')


def test_all_bands_by_default() -> None:
    assert pick([], LANDSAT, 30.0).indexes == (1, 2, 3, 4, 5, 6)
    assert choose([], (None, None), ('gray', 'undefined'), 10.0) == BandChoice(
        (1, 2), ('1', '2'), 'number'
    )


def test_free_descriptions() -> None:
    choice = pick(['vh_db', 'VV_dB'], ('VV_dB', 'VH_dB'), 10.0)
    assert choice.indexes == (2, 1)
    assert choice.source == 'description'


def test_colour_interpretation_where_nothing_is_named() -> None:
    colours = ('blue', 'green', 'red', 'alpha')
    choice = choose(['red', 'blue'], (None,) * 4, colours, 1.0)
    assert choice == BandChoice((3, 1), ('3', '1'), 'colour')


def test_colour_interpretation_does_not_overrule_names() -> None:
    # GDAL marks the first three bands of any 8-bit file red, green, blue.
    with pytest.raises(BandsNotFoundError):
        choose(['red'], ('VV', 'VH', 'angle'), ('red', 'green', 'blue'), 10.0)


def test_partly_named_bands() -> None:
    assert pick(['red'], (None, 'B04'), 10.0).indexes == (2,)


@pytest.mark.parametrize('names', [('QA', 'temperature'), (None, None), ()])
def test_not_recognised(names: tuple[str | None, ...]) -> None:
    assert recognise(names, 10.0) is None


def test_error_names_what_is_missing_and_what_is_there() -> None:
    with pytest.raises(
        BandsNotFoundError, match=r'no band nir, 9: its bands are R, G, \(no name\)'
    ):
        pick(['R', 'nir', '9'], ('R', 'G', None), 1.0)
    with pytest.raises(BandsNotFoundError, match='no band red: its 2 bands carry no names'):
        pick(['red'], (None, None), 1.0)


@pytest.mark.parametrize('number', ['0', '5', '-1', '1.0'])
def test_numbers_out_of_range(number: str) -> None:
    with pytest.raises(BandsNotFoundError, match='no band'):
        pick([number], ('R', 'G', 'B', 'N'), 1.0)


def test_quality_bands_belong_to_no_convention() -> None:
    exported = ('SR_B2', 'SR_B3', 'SR_B4', 'SR_B5', 'ST_B10', 'QA_PIXEL')
    assert pick(['red', 'nir'], exported, 30.0).indexes == (3, 4)
    assert pick(['red', 'nir'], ('B02', 'B04', 'B08', 'SCL'), 10.0).indexes == (2, 3)
