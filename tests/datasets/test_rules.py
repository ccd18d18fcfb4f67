"""Rules: which files they mean, what ships with us, and what is wrong with a file of them."""

from pathlib import Path

import pyarrow as pa
import pytest
import rasterio

from xscale.datasets.bands import choose
from xscale.datasets.conventions import BY_NAME, common_name, plain
from xscale.datasets.globs import Glob
from xscale.datasets.rulefile import FOLDER, TEMPLATE
from xscale.datasets.rules import Rule, bundled_rules, find_rule, load_rules
from xscale.errors import BandsNotFoundError, ConfigError, UnusableError

PRETRAIN = Path(__file__).parents[3] / 'shared/data/pretrain'

BGRN = ('blue', 'green', 'red', 'nir')


@pytest.mark.parametrize(
    ('pattern', 'path', 'meant'),
    [
        ('ms*.tif', '/data/a/ms1.tif', True),
        ('MS*.TIF', '/data/a/ms1.tif', True),
        ('ms*.tif', '/DATA/A/MS1.TIF', True),
        ('ms*.tif', '/data/ms1/pan.tif', False),
        ('ms*.tif', '/data/rooms1.tif', False),
        ('ms?.tif', '/data/ms12.tif', False),
        ('ms[0-9].tif', '/data/ms1.tif', True),
        ('ms[!0-9].tif', '/data/ms1.tif', False),
        ('rotterdam/*.tif', '/data/vhr/rotterdam/ms1.tif', True),
        ('rotterdam/*.tif', '/data/vhr_rotterdam/ms1.tif', False),
        ('rotterdam/*.tif', '/data/rotterdam/a/ms1.tif', False),
        ('rotterdam/**/*.tif', '/data/rotterdam/a/b/ms1.tif', True),
        ('rotterdam/**/*.tif', '/data/rotterdam/ms1.tif', True),
        ('rotterdam/**', '/data/rotterdam/a/ms1.tif', True),
        ('rotterdam/**', '/data/rotterdam', False),
        ('**/ms1.tif', '/ms1.tif', True),
        ('**', '/data/ms1.tif', True),
        ('*', '/data/ms1.tif', True),
        ('/data/*.tif', '/data/ms1.tif', True),
        ('/data/*.tif', '/more/data/ms1.tif', False),
        ('/**/ms1.tif', '/more/data/ms1.tif', True),
        ('a+b(1).tif', '/data/a+b(1).tif', True),
        ('[z-a].tif', '/data/z.tif', False),
    ],
)
def test_globs(pattern: str, path: str, meant: bool) -> None:
    assert Glob(pattern).means(path) == meant
    assert Glob(pattern).meant(pa.array([path, path])).tolist() == [meant, meant]


def test_globs_from_the_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'scenes').mkdir()
    monkeypatch.chdir(tmp_path / 'scenes')
    assert Glob('scenes/*.tif').means('ms1.tif')
    assert Glob('scenes/*.tif').means('../scenes/ms1.tif')


def order(name: str, count: int) -> tuple[str, ...] | None:
    """Return the common names of the bands by the bundled rule for a file, None without one."""
    path = f'/data/{name}'
    rule = find_rule((r for r in bundled_rules() if r.bands or r.parts), path, count)
    if rule is None or rule.leave_out:
        return None
    if rule.bands:
        return tuple(common_name(band or '_') for band in rule.bands)
    known = BY_NAME[rule.convention].bands.items()
    return (next(common for common, own in known if plain(rule.band_of(path)) in own),)


@pytest.mark.parametrize(
    ('name', 'bands'),
    [
        ('m_3607717_sw_18_1_20160620.tif', ('red', 'green', 'blue', 'nir')),
        ('m_3412039_nw_10_h_20160616.tif', ('red', 'green', 'blue', 'nir')),
        ('m_2608053_sw_17_060_20191203.tif', ('red', 'green', 'blue', 'nir')),
        ('m_3607717_sw_18_1_20160620_subset_1m.tif', ('red', 'green', 'blue', 'nir')),
        ('n_3309101_ne_15_1_20060808.tif', ('red', 'green', 'blue')),
        ('c_3309101_ne_15_1_20060808.tif', ('nir', 'red', 'green')),
        ('T33UUP_20170613T101031_B04_10m.jp2', ('red',)),
        ('T33UUP_20170613T101031_B8A_20m.jp2', ('nir08',)),
        ('T33UUP_20170613T101031_B08.jp2', ('nir',)),
        ('L2A_T33UUP_20170613T101031_B03_10m.jp2', ('green',)),
        ('S2A_33UUP_20170613_0_L2A/B04.tif', ('red',)),
        ('HLS.S30.T15STB.2020123T165848.v2.0.B8A.tif', ('nir08',)),
        ('HLS.L30.T15STB.2020123T165848.v2.0.B05.tif', ('nir',)),
        ('S2A_MSIL2A_20170613T101031_87_48_B11.tif', ('swir16',)),
        ('S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57_B02.tif', ('blue',)),
        ('S2A_OPER_MSI_L1C_TL_EPA__20160606T120000_A001234_T33UUP_B05.jp2', ('rededge071',)),
        ('LC08_L2SP_218074_20190114_20200829_02_T1_SR_B4.TIF', ('red',)),
        ('LC08_L2SP_218074_20190114_20200829_02_T1_ST_B10.TIF', ('lwir11',)),
        ('LC09_L1TP_218074_20220114_20220829_02_T1_B1.TIF', ('coastal',)),
        ('LC09_L1TP_218074_20220114_20220829_02_T1_B8.TIF', ('pan',)),
        ('LE07_L2SP_218074_20010114_20200829_02_T1_SR_B4.TIF', ('nir',)),
        ('LE07_L1TP_218074_20010114_20200829_02_T1_B6_VCID_1.TIF', ('lwir',)),
        ('LT05_L2SP_218074_20010114_20200829_02_T1_SR_B3.TIF', ('red',)),
        ('LM05_L1TP_015033_19850526_20200907_02_T2_B4.TIF', ('nir',)),
        ('LM01_L1TP_015033_19770526_20200907_02_T2_B4.TIF', ('green',)),
        ('12JUN07224719-M1BS-052560775010_04_P004.TIF', BGRN),
        ('10NOV11093055-M2AS_R1C1-052560775010_01_P001.TIF', BGRN),
        ('10NOV11093055-P2AS-052560775010_01_P001.TIF', ('pan',)),
        ('WV02_20120607224719_10300100193E9E00_12JUN07224719-M1BS-052560775010_04_P004.tif', BGRN),
        ('20190109_015005_1020_3B_AnalyticMS.tif', BGRN),
        ('20190109_015005_1020_3B_AnalyticMS_SR_harmonized_clip.tif', BGRN),
        ('IMG_PHR1A_PMS_201202250025329_ORT_1234_R1C1.TIF', ('red', 'green', 'blue', 'nir')),
        ('IMG_SPOT6_MS_201212051006186_ORT_1234_R1C1.TIF', ('red', 'green', 'blue', 'nir')),
        ('IMG_SPOT7_P_201212051006186_ORT_1234_R1C1.TIF', ('pan',)),
        ('GF1_PMS1_E114.9_N39.7_20180826_L1A0003413393-MSS1.tiff', BGRN),
        ('GF2_PMS2_W70.1_S33.4_20180826_L1A0003413393-PAN2.tiff', ('pan',)),
        ('GF1_WFV1_E114.9_N39.7_20180826_L1A0003413393.tiff', BGRN),
    ],
)
def test_bundled_orders(name: str, bands: tuple[str, ...]) -> None:
    assert order(name, len(bands)) == bands
    assert order(name.swapcase(), len(bands)) == bands
    assert order(name, len(bands) + 5) is None


@pytest.mark.parametrize(
    ('name', 'bands'),
    [
        (
            '12JUN07224719-M1BS-052560775010_04_P004.TIF',
            ('coastal', 'blue', 'green', 'yellow', 'red', 'rededge', 'nir', 'nir2'),
        ),
        (
            '20210601_153000_12_2416_3B_AnalyticMS_SR_8b.tif',
            ('coastal', 'blue', 'green05', 'green', 'yellow', 'red', 'rededge', 'nir'),
        ),
    ],
)
def test_bundled_orders_of_eight(name: str, bands: tuple[str, ...]) -> None:
    assert order(name, 8) == bands


@pytest.mark.parametrize(
    'name',
    [
        'm_drone_sw_18_1_2016.tif',
        'map_3607717_sw_18_1_20160620.tif',
        'naip_va_1m.tif',
        'ms1_1m.tif',
        'austria_33UUP_winA_10m.tif',
        'T33UUP_20170613T101031_SCL_20m.jp2',
        'T33UUP_20170613T101031_AOT_10m.jp2',
        'Tower_B04.tif',
        'S2_B04.tif',
        'LC08_L2SP_218074_20190114_20200829_02_T1_QA_PIXEL.TIF',
        'LC08_L2SP_218074_20190114_20200829_02_T1_SR_QA_AEROSOL.TIF',
        'LT05_L2SP_218074_20010114_20200829_02_T1_B10.TIF',
        'lake_B4.tif',
        '20210601_153000_12_2416_3B_udm2.tif',
        '20190109_015005_1020_3B_Visual.tif',
        # A benchmark of this name exists with near infrared first.
        'GF2_PMS1__20150212_L1A0000647768-MSS1.tif',
        'IMG_PNEO3_STD_202201010000000_PMS-FS_ORT_1234_RGB_R1C1.TIF',
        'P001-MS.tif',
    ],
)
def test_bundled_orders_mean_no_other_file(name: str) -> None:
    assert all(order(name, count) is None for count in range(1, 14))


@pytest.mark.parametrize(
    ('name', 'left_out'),
    [
        ('T33UUP_20170613T101031_TCI_10m.jp2', True),
        ('T33UUP_20170613T101031_PVI.jp2', True),
        ('T33UUP_20170613T101031_SCL_20m.jp2', True),
        ('L2A_T33UUP_20170613T101031_AOT_10m.jp2', True),
        ('S2A_33UUP_20170613_0_L2A/WVP.tif', True),
        ('S2A_X.SAFE/GRANULE/L2A_X/QI_DATA/MSK_CLDPRB_20m.jp2', True),
        ('HLS.S30.T15STB.2020123T165848.v2.0.Fmask.tif', True),
        ('HLS.L30.T15STB.2020123T165848.v2.0.VZA.tif', True),
        ('LC08_L2SP_218074_20190114_20200829_02_T1_QA_PIXEL.TIF', True),
        ('LC08_L2SP_218074_20190114_20200829_02_T1_SR_QA_AEROSOL.TIF', True),
        ('LC08_L2SP_218074_20190114_20200829_02_T1_ST_EMIS.TIF', True),
        ('LE07_L1TP_218074_20010114_20200829_02_T1_SZA.TIF', True),
        ('T33UUP_20170613T101031_B04_10m.jp2', False),
        ('LC08_L2SP_218074_20190114_20200829_02_T1_ST_B10.TIF', False),
        ('LC08_L2SP_218074_20190114_20200829_02_T1.tif', False),
        ('S2A_canberra_ACT_2020.tif', False),
        ('QI_DATA/m_3607717_sw_18_1_20160620.tif', False),
        ('scene_SCL_20m.tif', False),
        ('LC08_north_QA.tif', False),
    ],
)
def test_what_lies_beside_the_bands(name: str, left_out: bool) -> None:
    rule = find_rule((r for r in bundled_rules() if r.leave_out), f'/data/{name}', 1)
    assert (rule is not None) == left_out


@pytest.mark.parametrize(
    ('name', 'band'),
    [
        ('field_red.tif', 'red'),
        ('index_green.TIF', 'green'),
        ('DJI-0011 NIR.tiff', 'nir'),
        ('x.Blue.tif', 'blue'),
        ('x_red_edge.tif', 'red_edge'),
        ('infrared.tif', None),
        ('japan.tif', None),
        ('x_red_2.tif', None),
        ('red.tif', None),
    ],
)
def test_common_names_in_names_of_files(name: str, band: str | None) -> None:
    rule = find_rule((r for r in bundled_rules() if r.parts), f'/data/{name}', 1)
    assert (rule and rule.band_of(f'/data/{name}')) == band


def test_bundled_rules_are_of_known_names() -> None:
    rules = bundled_rules()
    assert {rule.convention for rule in rules if rule.convention} <= set(BY_NAME)
    assert all(str(rule) == f'bundled rule {rule.name}' for rule in rules)
    assert {file.stem for file in FOLDER.glob('*.yaml')} >= {'landsat', 'naip', 'sentinel2'}
    assert not any('drone' in rule.match for rule in rules), 'the template is no rule'


def test_the_template_is_a_file_of_rules(tmp_path: Path) -> None:
    copy = tmp_path / 'my_rules.yaml'
    copy.write_text(TEMPLATE.read_text())
    rules = load_rules(copy)
    assert rules[0].bands == ('red', 'green', 'blue', 'nir', None)
    assert rules[1] == Rule('wv_*_ms.tif', 'worldview', BGRN, nodata=0.0, source='my_rules.yaml')
    assert (rules[2].mean['red'], rules[2].std['nir']) == (1041.0, 1087.0)
    assert rules[3].convention == rules[3].name == 'landsat-4-7'
    assert rules[4].parts == {'1': 'blue', '2': 'green', '3': 'red', '4': 'nir'}
    assert (rules[5].parts['B08'], rules[5].convention) == ('B08', 'sentinel-2')
    assert rules[6].leave_out == 'is a map for validation'
    assert rules[7].name == 'Landsat8'
    text = TEMPLATE.read_text()
    assert all(name in text for name in BY_NAME)


def test_a_shipped_file_is_found_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (first, *_) = load_rules('datasets/rules/naip.yaml')
    assert str(first) == 'rule naip in naip.yaml'


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
