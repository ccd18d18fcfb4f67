"""Files of rules: what they may say, and what is said of one that is wrong."""

from pathlib import Path

import pytest
import rasterio

from xscale.datasets.bands import choose
from xscale.datasets.rules import find_rule, load_rules
from xscale.errors import BandsNotFoundError, ConfigError, UnusableError

PRETRAIN = Path(__file__).parents[3] / 'shared/data/pretrain'


def write(folder: Path, text: str) -> Path:
    path = folder / 'my.yaml'
    path.write_text(text)
    return path


def test_a_rule_in_full(tmp_path: Path) -> None:
    text = """
    rules:
      - match: scenes/**/*.tif
        name: mine
        bands: [blue, ~, red, _]
        nodata: -1e4
        mean: {red: 3, 2: 1e3}
        std: {red: 0.5, 2: 2}
      - {match: 'x*', bands: [vv, vh], mean: [1, null], std: [2, null]}
      - {match: '*', convention: sentinel-2, mean: {red: 1, B8A: 2}, std: {red: 1, B8A: 2}}
    """
    first, second, third = load_rules(write(tmp_path, text))
    assert first.bands == ('blue', None, 'red', None)
    assert first.nodata == -1e4
    assert (first.mean, first.std) == ({'red': 3.0, '2': 1e3}, {'red': 0.5, '2': 2.0})
    assert (second.name, second.mean) == ('x*', {'1': 1.0})
    assert (third.name, third.bands) == ('sentinel-2', ())
    assert str(second) == 'rule x* in my.yaml'


def test_a_rule_for_bands_in_files_of_their_own(tmp_path: Path) -> None:
    text = """
    rules:
      - {match: 'x_{band}.tif', bands: [Red, NIR], mean: [1, 2], std: {nir: 3, red: 4}}
      - match: '{band}/*.tif'
        bands: {1: red, b02: blue}
        convention: common names
    """
    first, second = load_rules(write(tmp_path, text.replace('{nir: 3, red: 4}', '[3, 4]')))
    assert first.parts == {'Red': 'Red', 'NIR': 'NIR'}
    assert (first.bands, first.name) == ((), 'x_{band}.tif')
    assert (first.mean, first.std) == ({'Red': 1, 'NIR': 2}, {'Red': 3, 'NIR': 4})
    assert first.band_of('/a/X_nir.TIF') == 'NIR'
    assert first.band_of('/a/x_{Red,NIR}.tif') is None
    assert second.parts == {'1': 'red', 'b02': 'blue'}
    assert second.band_of('/a/B02/x.tif') == 'blue'
    assert second.band_of('/a/B2/x.tif') is None


def test_the_first_rule_that_means_a_file_counts(tmp_path: Path) -> None:
    text = 'rules: [{match: a*, bands: [pan]}, {match: "*", bands: [red, green, blue]}]'
    rules = load_rules(write(tmp_path, text))
    assert find_rule(rules, '/d/abc.tif', 1) is rules[0]
    assert find_rule(rules, '/d/bbc.tif', 3) is rules[1]
    assert find_rule(rules, '', 3) is None
    assert find_rule(rules[:1], '/d/bbc.tif', 3) is None
    with pytest.raises(
        UnusableError, match=r'rule a\* in my\.yaml names 1 band where the file has 3'
    ):
        find_rule(rules, '/d/abc.tif', 3)


RED = 'match: x, bands: [red, nir]'


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('', 'a file of rules is a list under rules:'),
        ('- {match: x, bands: [red]}', 'a file of rules is a list under rules:'),
        ('rules: []\nrule: []', 'a file of rules is a list under rules:'),
        ('rules:', 'there is no list of rules under rules:'),
        ('rules: {match: x, bands: [red]}', 'there is no list of rules under rules:'),
        ('rules:\n  - match: [x', 'my.yaml, line 2: not YAML'),
        ('rules:\n  - match: *.tif\n    bands: [red]', 'my.yaml, line 2: not YAML'),
        ('rules:\n- match: x\n  match: y', 'line 3: not YAML: match is given twice; a rule starts'),
        ('rules: "\x01"', 'not YAML'),
        ('rules: [x.tif]', "rule 1: a rule says match: and bands:, not 'x.tif'"),
        ('rules: [{match: x, band: [red]}]', "rule 1: unknown key 'band'; did you mean bands?"),
        ('rules: [{match: x, zzz: [red]}]', "unknown key 'zzz'; choose of: match, name, bands"),
        ('rules: [{bands: [red]}]', 'match: None is no pattern'),
        ('rules: [{match: 2019, bands: [red]}]', 'match: 2019 is no pattern'),
        ('rules: [{match: a/, bands: [red]}]', "match: 'a/' is a folder; for its files 'a/[*][*]'"),
        ('rules: [{match: "a\\\\b", bands: [red]}]', 'folders are divided by /'),
        ('rules: [{match: "a**/b", bands: [red]}]', '[*][*] stands alone between slashes'),
        ('rules: [{match: x}]', 'rule 1 has neither bands nor convention; one is needed'),
        ('rules: [{match: x, bands: [r], convention: naip}]', 'has both bands and convention'),
        ('rules: [{match: x, convention: landsat}]', "unknown convention 'landsat'; choose one of"),
        ('rules: [{match: x, convention: [naip]}]', 'unknown convention'),
        ('rules: [{match: "{band}"}]', "'{band}' has {band} in it; bands: says what stands there"),
        ('rules: [{match: "{band}", bands: red}]', "such as .B02, B03, B04., .* and not 'red'"),
        ('rules: [{match: "{band}", convention: naip}]', 'bands: says what stands there'),
        ('rules: [{match: "{band}_{band}", bands: [a]}]', '{band} stands in one place only'),
        ('rules: [{match: "{band}", bands: [a, A]}]', 'bands: A is given twice'),
        ('rules: [{match: "{band}", bands: [on]}]', 'bands: True is no part of the name of a file'),
        ('rules: [{match: "{band}", bands: ["a/b"]}]', "'a/b' is no part of the name of a file"),
        ('rules: [{match: "{band}", bands: [1, 2]}]', 'the name of 1 is 1; .* as in {1: red}'),
        ('rules: [{match: "{band}", bands: {a: 7}}]', 'the name of a is 7; text is needed'),
        (
            'rules: [{match: x, bands: {a: red}}]',
            'is no list .*, and there is no {band} in match',
        ),
        ('rules: [{match: x, leave_out: ""}]', "leave_out: '' is no reason; text such as"),
        ('rules: [{match: x, leave_out: false}]', 'leave_out: False is no reason'),
        ('rules: [{match: x, bands: [a], leave_out: y}]', 'leave_out: goes without bands'),
        ('rules: [{match: x, bands: red}]', "bands: 'red' is no list such as"),
        ('rules: [{match: x, bands: []}]', 'is no list such as'),
        ('rules: [{match: x, bands: [_, ~]}]', 'not one has a meaning'),
        ('rules: [{match: x, bands: [red, 2]}]', 'the name of band 2 is 2; text is needed, or _'),
        ('rules: [{match: x, bands: [red, "2"]}]', "the name of band 2 is '2'"),
        ('rules: [{match: x, bands: [red, on]}]', 'the name of band 2 is True'),
        ('rules: [{match: x, bands: [red, nir, red]}]', 'bands: 1 and 3 are both red'),
        ('rules: [{match: x, bands: [nir, NIR1]}]', 'bands: 1 and 2 are both NIR1'),
        ('rules: [{match: x, bands: [B4, SR_B04]}]', 'bands: 1 and 2 are both SR_B04'),
        ('rules: [{match: x, name: 8, bands: [red]}]', 'name: 8 is not the name of a sensor'),
        (f'rules: [{{{RED}, nodata: none}}]', "nodata: 'none' is not a number"),
        (f'rules: [{{{RED}, nodata: yes}}]', 'nodata: True is not a number'),
        (f'rules: [{{{RED}, mean: [1, 2]}}]', 'gives mean alone; mean and std are needed togethe'),
        (f'rules: [{{{RED}, std: [1, 2]}}]', 'gives std alone'),
        (f'rules: [{{{RED}, mean: [1], std: [1]}}]', 'mean: 1 numbers for 2 bands'),
        (
            f'rules: [{{{RED}, mean: 1, std: 1}}]',
            'mean: 1; numbers by band are needed, as {red: 1}',
        ),
        (f'rules: [{{{RED}, mean: [1, a], std: [1, 1]}}]', "mean: of band 2: 'a' is not a number"),
        (f'rules: [{{{RED}, mean: {{reed: 1}}, std: {{red: 1}}}}]', "'reed' is not one of the ban"),
        (f'rules: [{{{RED}, mean: {{red: 1}}, std: {{nir: 1}}}}]', 'are of other bands: nir, red'),
        (f'rules: [{{{RED}, mean: {{red: 1, 1: 1}}, std: [1, 1]}}]', 'red and 1 are one band'),
        (f'rules: [{{{RED}, mean: [1, .nan], std: [1, 1]}}]', 'mean and std are finite numbers'),
        (f'rules: [{{{RED}, mean: [1, 1], std: [1, 0]}}]', 'std: 0 of 2; a number above 0 is nee'),
        (f'rules: [{{{RED}, mean: {{red: 1}}, std: {{red: -1}}}}]', 'std: -1 of red; a number abo'),
        (
            'rules: [{match: x, convention: naip, mean: [1, 2], std: [1, 2]}]',
            'mean: .* numbers by band are needed, as {red: 1}$',
        ),
        (
            'rules: [{match: x, convention: naip, mean: {pan: 1}, std: {pan: 1}}]',
            "'pan' is not one of the bands of this rule",
        ),
        (
            'rules: [{match: x, convention: naip, mean: {red: 1, R: 1}, std: {red: 1}}]',
            'red and R are one band',
        ),
        (
            f'rules: [{{{RED}, name: a}}, {{{RED}, name: a, mean: [1, 1], std: [1, 1]}}]',
            'rules 1 and 2 are both named a but give other means',
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_rules(write(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / 'my.yaml'))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'nowhere.yaml does not exist \(looked from .*template'):
        load_rules(tmp_path / 'nowhere.yaml')
    with pytest.raises(ConfigError, match='cannot be read: Is a directory'):
        load_rules(tmp_path)
    path = tmp_path / 'latin.yaml'
    path.write_bytes('rules: # Überschrift'.encode('latin-1'))
    with pytest.raises(ConfigError, match='is not UTF-8 text'):
        load_rules(path)


@pytest.mark.skipif(not PRETRAIN.is_dir(), reason='the sample rasters are not on this machine')
def test_rules_for_sensors_whose_files_name_no_bands(tmp_path: Path) -> None:
    text = """
    rules:
      - {match: vhr_rotterdam/ms*.tif, name: worldview, bands: [blue, green, red, nir], nodata: 0}
      - {match: vhr_rotterdam/pan*.tif, name: worldview pan, bands: [pan]}
      - {match: austria_*.tif, name: sentinel-2 rgbn, bands: [red, green, blue, nir]}
    """
    rules = load_rules(write(tmp_path, text))
    found, missing = {}, {}
    for path in sorted(PRETRAIN.rglob('*.tif')):
        with rasterio.open(path) as source:
            colours = [colour.name for colour in source.colorinterp]
            about = (source.descriptions, colours, source.res[0], str(path), rules)
            try:
                found[path.name] = choose(['red', 'green', 'blue'], *about)
            except BandsNotFoundError as error:
                missing[path.name] = str(error).split(':')[0]
    expected = {
        'austria': ((1, 2, 3), 'sentinel-2 rgbn', 'rule sentinel-2 rgbn in my.yaml'),
        'thailand': ((3, 2, 1), 'sentinel-2', 'description (sentinel-2)'),
        'ms': ((3, 2, 1), 'worldview', 'rule worldview in my.yaml'),
        'm_': ((1, 2, 3), 'naip', 'description (naip)'),
        'naip': ((1, 2, 3), 'naip', 'description (naip)'),
    }
    landsat = ((3, 2, 1), 'landsat-8-9', 'description (landsat-8-9)')
    for name, choice in found.items():
        meant = next((e for start, e in expected.items() if name.startswith(start)), landsat)
        assert (choice.indexes, choice.sensor, choice.source) == meant, name
    assert len(found) == 6 + 10 + 3 + 3
    # Five are panchromatic, and three of Sentinel-2 hold other bands.
    assert missing == {
        'elkton_l8_pan_15m.tif': 'no band red, green, blue',
        'momotombo_l8_pan_20151205_15m.tif': 'no band red, green, blue',
        'odisha_44_B3B4B8_10m.tif': 'no band blue',
        'pan1_0.5m.tif': 'no band red, green, blue',
        'pan2_0.5m.tif': 'no band red, green, blue',
        'pan3_0.5m.tif': 'no band red, green, blue',
        'thailand_48QUE_20200223_20m.tif': 'no band red, green, blue',
        'thailand_48QUE_20200223_60m.tif': 'no band red, green, blue',
    }
