"""Which band is red, in every convention."""

from itertools import combinations

import pytest

from xscale.datasets.bands import BandChoice, choose
from xscale.datasets.conventions import COMMON, CONVENTIONS, recognise
from xscale.datasets.rules import Rule
from xscale.errors import BandsNotFoundError, UnusableError

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
    assert choice.source == f'description ({convention})'
    assert choice.sensor == convention
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
    choice = choose([], (None, None), ('gray', 'undefined'), 10.0)
    assert (choice.indexes, choice.names) == ((1, 2), ('1', '2'))
    assert (choice.source, choice.sensor, choice.rule) == ('number', 'number', None)
    assert choice.mean == choice.std == (None, None)


def test_free_descriptions() -> None:
    choice = pick(['vh_db', 'VV_dB'], ('VV_dB', 'VH_dB'), 10.0)
    assert choice.indexes == (2, 1)
    assert choice.source == 'description'


def test_colour_interpretation_where_nothing_is_named() -> None:
    colours = ('blue', 'green', 'red', 'alpha')
    choice = choose(['red', 'blue'], (None,) * 4, colours, 1.0)
    assert (choice.indexes, choice.names) == ((3, 1), ('3', '1'))
    assert choice.source == choice.sensor == 'colour'


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


@pytest.mark.parametrize(
    ('name', 'common'),
    [
        ('Red band', 'red'),
        ('RED', 'red'),
        ('Near Infrared', 'nir'),
        ('near-infrared 1', 'nir'),
        ('NIR1', 'nir'),
        ('Coastal aerosol', 'coastal'),
        ('coastal_blue', 'coastal'),
        ('green_i', 'green05'),
        ('red_edge', 'rededge'),
        ('Red Edge 1', 'rededge071'),
        ('Panchromatic', 'pan'),
        ('SWIR 1', 'swir16'),
        ('swir_2', 'swir22'),
        ('B4, central wavelength 665 nm', 'red'),
        ('sr_band4', 'red'),
    ],
)
def test_synonyms_both_ways(name: str, common: str) -> None:
    others = ('B03, central wavelength 560 nm', name) if 'B4' in name else ('other', name)
    assert pick([common], others, 10.0).indexes == (2,)
    assert pick([name], others, 10.0).indexes == (2,)


@pytest.mark.parametrize(('asked', 'index'), [('nir1', 5), ('R', 3), ('swir1', 7), ('NIR', 5)])
def test_synonyms_are_looked_up_in_a_sensors_convention(asked: str, index: int) -> None:
    assert pick([asked], SENTINEL2, 10.0).indexes == (index,)


@pytest.mark.parametrize('asked', ['rededge', 'pan', 'yellow', 'green05', 'infrared', 'r e d 2'])
def test_names_that_are_nobodys(asked: str) -> None:
    with pytest.raises(BandsNotFoundError, match=f'no band {asked}: .* [(]read as sentinel-2[)]'):
        pick([asked], SENTINEL2, 10.0)


def test_eight_shortwave_bands_are_numbered_otherwise() -> None:
    shortwave = tuple(f'SWIR{number}' for number in range(1, 9))
    assert pick(['swir1'], shortwave, 3.7).indexes == (1,)
    with pytest.raises(BandsNotFoundError):
        pick(['swir16'], shortwave, 3.7)


def test_a_second_date_is_not_another_band() -> None:
    assert pick(['swir16'], ('B1', 'B1_1', 'B11', 'B11_1'), 20.0).indexes == (3,)


@pytest.mark.parametrize(
    ('path', 'convention'),
    [
        ('LC08_L2SP_218074_20190114_20200829_02_T1.tif', 'landsat-8-9'),
        ('LC09_218074_20220114.tif', 'landsat-8-9'),
        ('LO08_L1TP_218074_20190114.tif', 'landsat-8-9'),
        ('LC82180742019014LGN00.tif', 'landsat-8-9'),
        ('l8_corumba.tif', 'landsat-8-9'),
        ('corumba_l8_L1TP_20190809_30m.tif', 'landsat-8-9'),
        ('HLS.L30.T15STB.2020123T165848.v2.0.tif', 'landsat-8-9'),
        ('plain.tif', 'landsat-8-9'),
        ('LE07_L2SP_218074_20010114_20200829_02_T1.tif', 'landsat-4-7'),
        ('LT05_218074_20110504.TIF', 'landsat-4-7'),
        ('lt04_l1tp_218074_19900504.tif', 'landsat-4-7'),
        ('LT52180742011123CUB00.tif', 'landsat-4-7'),
        ('L7_2001.tif', 'landsat-4-7'),
        ('corumba_l5_L1TP_20090809_30m.tif', 'landsat-4-7'),
        ('LM05_L1TP_015033_19850526.tif', 'landsat-mss-4-5'),
        ('LM01_L1TP_015033_19770526_20200907_02_T2.tif', 'landsat-mss-1-3'),
        ('S2A_resampled.tif', 'sentinel-2'),
        ('HLS.S30.T15STB.2020123T165848.v2.0.tif', 'sentinel-2'),
    ],
)
def test_the_files_name_tells_sensors_apart_that_share_names(path: str, convention: str) -> None:
    names = ('B1', 'B2', 'B3', 'B4') if 'LM05' in path else ('B4', 'B5', 'B6', 'B7')
    b4 = {'landsat-4-7': 'nir', 'landsat-mss-4-5': 'nir', 'landsat-mss-1-3': 'green'}
    asked = b4.get(convention, 'red')
    found = choose([asked], names, GREY[:4], 30.0, f'/data/{path}')
    assert found.names == ('B4',)
    assert found.sensor == convention
    assert found.source.startswith(f'description ({convention}')
    guessed = convention == 'landsat-8-9'
    assert (found.source == f'description ({convention})') == guessed
    assert (found.rule is None) == guessed


def test_the_files_name_does_not_overrule_better_known_names() -> None:
    choice = choose(['red'], ('red', 'green', 'B3'), GREY[:3], 30.0, '/data/LE07_x.tif')
    assert (choice.indexes, choice.sensor) == ((1,), 'common names')
    choice = choose(['red'], ('B2', 'B4', 'B8A', 'B11'), GREY[:4], 10.0, '/data/L7_x.tif')
    assert (choice.indexes, choice.sensor) == ((2,), 'sentinel-2')


def test_the_six_bands_of_landsat_4_to_7_are_known_without_the_files_name() -> None:
    six = ('SR_B1', 'SR_B2', 'SR_B3', 'SR_B4', 'SR_B5', 'SR_B7')
    assert pick(['red', 'nir', 'swir22'], six, 30.0).indexes == (3, 4, 6)
    assert pick(['lwir', 'red'], (*six, 'ST_B6', 'QA_PIXEL'), 30.0).indexes == (7, 3)
    named = choose(['red'], six, GREY[:6], 30.0, '/data/LC08_x.tif')
    assert (named.indexes, named.sensor) == ((4,), 'landsat-8-9')


NAIP_PATH = '/data/m_3607717_sw_18_1_20160620.tif'
RGBA = ('red', 'green', 'blue', 'alpha')


def rule(**fields: object) -> Rule:
    return Rule(**{'match': '*.tif', 'name': 'mine', 'source': 'my.yaml', **fields})


def test_precedence() -> None:
    """A user's rule, then descriptions, then bundled rules, then colours, then numbers."""
    mine = rule(bands=('nir', 'red', 'green', 'blue'))
    described = ('R', 'G', 'B', 'N')
    nameless = (None,) * 4
    expected = [
        ([mine], described, NAIP_PATH, (4, 1), 'rule mine in my.yaml', 'mine'),
        ([], described, NAIP_PATH, (3, 4), 'description (naip)', 'naip'),
        ([], nameless, NAIP_PATH, (3, 4), 'bundled rule naip', 'naip'),
        ([mine], nameless, '', (3, 4), 'colour', 'colour'),
        ([], nameless, '/data/x.tif', (3, 4), 'colour', 'colour'),
    ]
    for rules, names, path, indexes, source, sensor in expected:
        asked = ['blue', 'alpha' if source == 'colour' else 'nir']
        choice = choose(asked, names, RGBA, 1.0, path, rules)
        assert (choice.indexes, choice.source, choice.sensor) == (indexes, source, sensor)
    assert choose(['3'], nameless, RGBA, 1.0, '/data/x.tif').source == 'number'


def test_an_alpha_that_is_data_is_near_infrared_by_rule_or_description_only() -> None:
    nameless = (None,) * 4
    assert choose(['nir'], nameless, RGBA, 1.0, NAIP_PATH).indexes == (4,)
    mine = rule(bands=('red', 'green', 'blue', 'nir'))
    assert choose(['nir'], nameless, RGBA, 1.0, '/x.tif', [mine]).indexes == (4,)
    assert choose(['nir'], ('R', 'G', 'B', 'N'), RGBA, 1.0).indexes == (4,)
    with pytest.raises(BandsNotFoundError, match='no band nir'):
        choose(['nir'], nameless, RGBA, 1.0, '/x.tif')


def test_colour_infrared_marked_as_red_green_blue() -> None:
    path = '/data/c_3309101_ne_15_1_20060808.tif'
    choice = choose(['red', 'nir'], (None,) * 3, ('red', 'green', 'blue'), 1.0, path)
    assert (choice.indexes, choice.names) == ((2, 1), ('R', 'N'))


def test_a_rule_gives_its_names_and_numbers() -> None:
    mine = rule(
        bands=('blue', 'green', 'red', None),
        nodata=0.0,
        mean={'red': 3.0, '1': 1.0},
        std={'red': 0.3, '1': 0.1},
    )
    choice = choose(['red', 'blue', 'green'], (None,) * 4, GREY[:4], 1.0, '/x.tif', [mine])
    assert choice.names == ('red', 'blue', 'green')
    assert choice.mean == (3.0, 1.0, None)
    assert choice.std == (0.3, 0.1, None)
    assert choice.rule is mine
    every = choose([], (None,) * 4, GREY[:4], 1.0, '/x.tif', [mine])
    assert every.names == ('blue', 'green', 'red', '4')
    assert every.mean == (1.0, None, 3.0, None)
    assert every.source == 'rule mine in my.yaml'


def test_a_rule_with_a_convention_reads_the_files_own_names() -> None:
    mine = rule(name='etm', convention='landsat-4-7', mean={'red': 7.0}, std={'red': 1.0})
    choice = choose(['red', 'nir'], ('B3', 'B4'), GREY[:2], 30.0, '/x.tif', [mine])
    assert (choice.indexes, choice.names) == ((1, 2), ('B3', 'B4'))
    assert (choice.sensor, choice.source) == ('etm', 'rule etm in my.yaml')
    assert choice.mean == (7.0, None)
    with pytest.raises(BandsNotFoundError) as caught:
        choose(['red'], (None, None), GREY[:2], 30.0, '/x.tif', [mine])
    assert str(caught.value) == (
        'no band red: its 2 bands carry no names (read as landsat-4-7 by rule etm in my.yaml)'
    )


def test_a_rules_bands_may_be_a_sensors_own_names() -> None:
    mine = rule(bands=('B02', 'B03', 'B04', 'B08'))
    choice = choose(['red', 'nir'], (None,) * 4, GREY[:4], 10.0, '/x.tif', [mine])
    assert (choice.indexes, choice.names) == ((3, 4), ('B04', 'B08'))


def test_a_users_rule_is_all_the_truth() -> None:
    mine = rule(bands=('blue', 'green', None))
    with pytest.raises(BandsNotFoundError) as caught:
        choose(['red'], ('red', 'green', 'blue'), RGBA[:3], 1.0, '/x.tif', [mine])
    assert str(caught.value) == (
        'no band red: its bands are blue, green, (no name) (by rule mine in my.yaml)'
    )


def test_a_users_rule_of_another_number_of_bands_leaves_the_file_out() -> None:
    mine = rule(bands=('blue', 'green', 'red'))
    with pytest.raises(UnusableError, match=r'rule mine in .* names 3 bands where the file'):
        choose(['red'], ('R', 'G', 'B', 'N'), RGBA, 1.0, '/x.tif', [mine])


def test_errors_say_what_was_tried() -> None:
    def complaint(wanted: list[str], names: tuple[str | None, ...], path: str = '') -> str:
        with pytest.raises(BandsNotFoundError) as caught:
            choose(wanted, names, RGBA[: len(names)], 15.0, path)
        return str(caught.value)

    assert complaint(['red'], ('B8',)) == 'no band red: its bands are B8 (read as landsat-8-9)'
    assert complaint(['swir16'], (None,) * 4, NAIP_PATH) == (
        'no band swir16: its bands are R, G, B, N (by bundled rule naip)'
    )
    assert complaint(['nir'], (None,) * 4) == 'no band nir: its 4 bands carry no names'
    assert complaint(['nir'], ('height',)) == 'no band nir: its bands are height'


def test_descriptions_that_only_count_are_no_names() -> None:
    counted = ('Band 1', 'Band 2', 'band_3', 'Band_4')
    choice = choose(['red', 'blue'], counted, RGBA, 1.0)
    assert (choice.indexes, choice.source) == ((1, 3), 'colour')
    assert choice.names == ('Band 1', 'band_3')
    assert choose(['Band 2'], counted, RGBA, 1.0).source == 'description'
    # Of a sensor's fourth and third band they say more.
    with pytest.raises(BandsNotFoundError):
        choose(['red'], ('Band 4', 'Band 3'), RGBA[:2], 1.0)


def test_unknown_descriptions_do_not_hide_a_bundled_rule() -> None:
    names = ('one', 'two', 'three', 'four')
    assert choose(['nir', 'red'], names, GREY[:4], 1.0, NAIP_PATH).indexes == (4, 1)
    assert choose(['two'], names, GREY[:4], 1.0, NAIP_PATH).indexes == (2,)


@pytest.mark.parametrize('names', [('red', 'Red'), ('B4', 'SR_B04')])
def test_two_bands_of_the_asked_name(names: tuple[str, ...]) -> None:
    with pytest.raises(UnusableError, match='bands 1 and 2 are both called RED; ask by number'):
        pick(['RED'], names, 10.0)


@pytest.mark.parametrize(
    'asked', [['red', 'B4'], ['B04', 'SR_B4'], ['3', 'red'], ['red', 'R'], ['1', '01'], ['2', '2']]
)
def test_two_asked_names_that_are_one_band(asked: list[str]) -> None:
    with pytest.raises(UnusableError, match=f'{asked[0]} and {asked[1]} are one band, number'):
        pick(asked, SENTINEL2, 10.0)


def stacks() -> list[tuple[tuple[str, ...], float, str]]:
    """Return a file of every sensor, with all its bands by their first name."""
    files = [
        (tuple(own[0] for own in c.bands.values()), c.gsds[0], c.name)
        for c in CONVENTIONS
        if c is not COMMON
    ]
    return [*files, (tuple(own[0] for own in COMMON.bands.values()), 2.0, COMMON.name)]


@pytest.mark.parametrize(('names', 'gsd', 'name'), stacks(), ids=lambda value: str(value)[:15])
def test_two_names_are_never_one_band_silently(
    names: tuple[str, ...], gsd: float, name: str
) -> None:
    unique = tuple(dict.fromkeys(names))
    mine = rule(convention=name)
    asked = [*COMMON.bands, *unique, '1', 'NIR1', 'Red band', 'R', 'swir1']
    pairs = 0
    for pair in combinations(asked, 2):
        try:
            choice = choose(pair, unique, ('undefined',) * len(unique), gsd, '/x.tif', [mine])
        except (BandsNotFoundError, UnusableError):
            continue
        assert len(set(choice.indexes)) == 2
        pairs += 1
    assert pairs > 5
