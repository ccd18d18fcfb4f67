"""``xscale scan``: what it says of a folder, and what it draws."""

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from xscale.cli import main
from xscale.datamodules.preview import spread_draws
from xscale.datasets import Rasters

from .data.scenes.data import write_sentinel2
from .data.stack.data import write_raster

SHARED = Path(__file__).parents[2] / 'shared' / 'data'


def scan(capsys: pytest.CaptureFixture[str], *args: object, status: int = 0) -> str:
    assert main(['scan', *map(str, args)]) == status
    return capsys.readouterr().out


def test_says_what_is_there(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = scan(capsys, stack, '--bands', 'red,green,blue')
    assert text.startswith('8 of 19 rasters can be used, ')
    lines = text.splitlines()
    (landsat,) = (line for line in lines if 'landsat-8-9: SR_B2' in line)
    for cell in ('1 ', ' 30 ', 'uint16', 'EPSG:32721', '12.7%', '2019-08-25'):
        assert cell in landsat
    (mercator,) = (line for line in lines if 'EPSG:3857' in line)
    assert ' 0.942 ' in mercator
    (degrees,) = (line for line in lines if 'EPSG:4326' in line)
    assert ' 7.89 ' in degrees
    assert (
        '  1 × naip R,G,B uint8, 1 m: red = R, green = G, blue = B (by description (naip))' in lines
    )
    assert '2 without the bands asked for:' in lines
    assert '11 cannot be used:' in lines
    assert f'    {stack}/bad/text.tif' in lines
    assert '  holds no valid pixel' in lines


def test_json_holds_each_file(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(scan(capsys, stack, '--bands', 'red', '--json'))
    assert (found['files'], found['usable']) == (19, 8)
    assert found['area'] == pytest.approx(sum(group['area'] for group in found['groups']))
    each = {Path(file['path']).name: file for file in found['each']}
    assert len(each) == 19
    sentinel2 = each['T48QUE_20200223_10m.tif']
    expected = {'sensor': 'sentinel-2', 'gsd': 10, 'date': '2020-02-23', 'overviews': [2, 4]}
    assert {key: sentinel2[key] for key in expected} == expected
    assert sentinel2['bands'] == ['B02', 'B03', 'B04', 'B08']
    assert sentinel2['area'] == pytest.approx(9)
    assert each['plain.tif']['nodata'] == pytest.approx(0.09)
    assert each['drone.tif']['nodata'] == pytest.approx(0.25)
    assert each['drone.tif']['bands'] == ['red', 'green', 'blue', 'mask']
    assert 'no coordinate reference system' in each['no_crs.tif']['reason']
    assert set(found['rejected']) == {f['path'] for f in found['each'] if f['reason']}
    assert {used['bands']['red'] for used in found['in_use']} == {'B04', 'B4', 'SR_B4', 'R', '1'}


def test_draws_a_map_and_tiles(
    stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = scan(capsys, stack, '--preview', tmp_path / 'look', '--size', 48, '--tiles', 7)
    assert f'map: {tmp_path}/look/map.png' in text
    for name in ('map', 'tiles'):
        picture = matplotlib.image.imread(tmp_path / 'look' / f'{name}.png')
        assert min(picture.shape[:2]) > 200
        assert picture.std() > 0.1


def test_catalogue_stands_for_its_folder(
    stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / 'kept.parquet'
    assert f'catalogue: {kept}' in scan(capsys, stack, '--out', kept)
    both = [json.loads(scan(capsys, path, '--json')) for path in (stack, kept)]
    assert both[0] == both[1]


def test_dates_of_one_place_are_one_ground(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in range(1, 4):
        write_raster(tmp_path / f'x_2020010{day}.tif', np.ones((100, 100), np.uint8))
    found = json.loads(scan(capsys, tmp_path, '--json'))
    assert found['area'] == pytest.approx(3)
    assert found['ground'] == pytest.approx(1, rel=1e-3)
    (group,) = found['groups']
    assert group['dates'] == ['2020-01-01', '2020-01-03']


def test_rules_say_what_bands_are(
    stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / 'mine.yaml'
    text = '{match: plain.tif, name: radar, bands: [vv], nodata: 7, mean: {vv: 1}, std: {vv: 2}}'
    rules.write_text(f'rules:\n  - {text}\n')
    found = json.loads(scan(capsys, stack, '--rules', rules, '--bands', 'vv', '--json'))
    (used,) = found['in_use']
    assert used['sensor'] == 'radar vv int16'
    assert used['source'] == 'rule radar in mine.yaml'
    assert (used['mean'], used['std']) == ([1], [2])
    each = {Path(file['path']).name: file for file in found['each']}
    assert each['plain.tif']['bands'] == ['vv']
    rules.write_text(f'rules:\n  - {text[:-1]}, colour: red}}\n')
    assert main(['scan', str(stack), '--rules', str(rules)]) == 2
    assert 'colour' in capsys.readouterr().err


def test_bands_in_files_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sentinel2(tmp_path)
    text = scan(capsys, tmp_path, '--bands', 'red,nir')
    # Of 27 files 15 hold bands, of three grids.
    assert text.startswith('3 of 15 rasters can be used, 16.4 km² in all, 5.46 km² of different')
    (row,) = (line for line in text.splitlines() if '(4 files)' in line)
    assert row.split()[:3] == ['1', '10', 'sentinel-2:']
    assert 'B02 B03 B04 B08 (4 files)' in row
    named = 'red = B04, nir = B08 (by bundled rule sentinel-2)'
    assert f'  1 × sentinel-2 B04,B08 uint16, 10 m: {named}' in text.splitlines()
    assert '_{B01,B02,B03,B04,B09}_60m.jp2' in text
    found = json.loads(scan(capsys, tmp_path, '--json'))
    assert (found['files'], found['rasters'], found['usable']) == (27, 15, 3)
    each = {file['gsd']: file for file in found['each'] if not file['reason']}
    assert [Path(path).name[-11:] for path in each[10]['files']] == [
        f'B0{number}_10m.jp2' for number in (2, 3, 4, 8)
    ]
    assert each[20]['bands'] == ['B02', 'B03', 'B04', 'B05', 'B8A', 'B11']
    assert each[10]['nodata'] == pytest.approx(0.05, abs=0.01)
    files = [path for file in found['each'] for path in file['files']]
    assert sorted(files) == sorted(map(str, tmp_path.rglob('*.jp2')))


def test_a_rule_says_what_is_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.full((100, 100), 50, np.uint8)
    pixels[:, :40] = 9
    write_raster(tmp_path / 'x.tif', pixels)
    rules = tmp_path / 'mine.yaml'
    rules.write_text('rules:\n  - {match: x.tif, bands: [red], nodata: 9}\n')
    for flags, share in (((), 0), (('--rules', rules), 0.4), ((), 0)):
        (file,) = json.loads(scan(capsys, tmp_path, '--json', *flags))['each']
        assert file['nodata'] == pytest.approx(share)
    dataset = Rasters(tmp_path, ['red'], rules)
    assert dataset.sensors[0].mean == (50,)
    for zoom in (1, 1.7, 3):
        size = round(96 / zoom)
        sample = dataset[spread_draws(dataset, size, 1, (10 * zoom, 10 * zoom))[0]]
        assert set(sample['image'].unique().tolist()) == {0, 50}
        assert not sample['valid'].all()


def test_nothing_usable(stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert '0 of 11 rasters can be used' in scan(capsys, stack / 'bad', status=2)
    assert '8 of 19' in scan(capsys, stack, '--bands', 'thermal', status=2)
    assert '0 of 0 rasters' in scan(capsys, tmp_path, status=2)
    assert scan(capsys, tmp_path / 'nowhere', status=2) == ''


@pytest.mark.skipif(not SHARED.exists(), reason='the real rasters are not beside this checkout')
def test_real_folder(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(scan(capsys, SHARED, '--json'))
    reasons = {Path(path).parts[-3]: reason for path, reason in found['rejected'].items()}
    assert set(reasons) == {'chesapeake_wv_1m'}
    assert all('no coordinate reference system' in reason for reason in reasons.values())
    each = {Path(file['path']).name: file for file in found['each']}
    # Web Mercator's 1.19 m at 37.9° north, and 0.15 m of degrees at 27.6° north.
    assert each['naip_berkeley_3857.tif']['gsd'] == pytest.approx(0.942, abs=0.002)
    drone = [f for f in found['each'] if 'oam_banepa' in f['path']]
    assert drone
    assert all(file['gsd'] == pytest.approx(0.132, abs=0.001) for file in drone)
