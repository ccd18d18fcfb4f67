"""The rules that ship with us: which files they mean, and which they must not."""

from pathlib import Path

import pytest

from xscale.datasets.conventions import BY_NAME, common_name, plain
from xscale.datasets.rulefile import FOLDER, TEMPLATE
from xscale.datasets.rules import Rule, bundled_rules, find_rule, load_rules

BGRN = ('blue', 'green', 'red', 'nir')


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
