"""What ``xscale pretrain`` is told of the data: validation, regions, balance, statistics."""

import csv
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import yaml
from rasterio.transform import from_origin

import xscale
from xscale.cli import main
from xscale.datasets.catalogue import catalogue, write_catalogue

from ..data.stack.data import write_raster

FLAGS = (
    *('--model', 'vit_tiny_patch16_224', '--size', '32', '--batch-size', '4'),
    *('--precision', '32-true', '--num-workers', '0'),
)


@pytest.fixture(scope='module')
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rasters of 6 km at 10 and 20 m, side by side."""
    folder = tmp_path_factory.mktemp('images')
    draw = np.random.default_rng(0)
    for left, side, gsd in ((500_000, 600, 10), (506_000, 300, 20)):
        pixels = draw.integers(1, 255, (3, side, side), dtype=np.uint8)
        grid = from_origin(left, 5_300_000, gsd, gsd)
        write_raster(folder / f'{gsd}.tif', pixels, grid=grid)
    return folder


def pretrain(images: Path, out: Path, *flags: object) -> int:
    flags = (str(images), *FLAGS, '--out', str(out), *map(str, flags))
    return main(['pretrain', *flags])


def column(run: Path, name: str) -> list[tuple[int, float]]:
    """Return steps and values of a metric."""
    with (run / 'metrics.csv').open() as file:
        rows = [row for row in csv.DictReader(file) if row.get(name)]
    return [(int(row['step']), float(row[name])) for row in rows]


def test_validation_loss(images: Path, tmp_path: Path) -> None:
    """Each time of the same tiles: a model that stands still has the same loss."""
    flags = '--val-share', 0.2, '--save-every', 1, '--max-steps', 2, '--lr', 1e-12
    assert pretrain(images, tmp_path / 'run', *flags) == 0
    steps, losses = zip(*column(tmp_path / 'run', 'val_loss'), strict=True)
    assert steps == (0, 1)
    assert losses == pytest.approx([losses[0]] * 2, rel=1e-6)
    assert np.isfinite(losses[0])
    assert len({round(loss, 4) for _, loss in column(tmp_path / 'run', 'train_loss')}) > 1


def test_everything_reaches_the_run(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    region = shapely.box(500_000, 5_294_000, 511_000, 5_300_000)
    roi = tmp_path / 'roi.gpkg'
    gpd.GeoDataFrame(geometry=[region], crs='EPSG:32633').to_file(roi)
    run = tmp_path / 'run'
    flags = [
        *('--roi', roi, '--val-share', 0.25, '--max-nodata', 0.1, '--max-steps', 1),
        *('--balance', 'gsd', '--temperature', 1e9, '--gsd', 10, 20),
        *('--mean', '90,100,110', '--std', '50,60,70.5'),
    ]
    assert pretrain(images, run, *flags) == 0
    data = yaml.safe_load((run / 'config.yaml').read_text())['data']['init_args']
    assert (data['balance'], data['temperature'], data['max_nodata']) == ('gsd', 1e9, 0.1)
    assert (data['roi'], data['val_share'], data['gsd']) == (str(roi), 0.25, [10, 20])
    assert 'rasters, 8 batches\n' in capsys.readouterr().out
    # A run shorter than --save-every is validated at its end.
    assert [step for step, _ in column(run, 'val_loss')] == [0]
    (sensor,) = xscale.load(run / 'last.ckpt').contract['sensors']
    assert sensor['mean'] == [90, 100, 110]
    assert sensor['std'] == [50, 60, 70.5]


@pytest.mark.parametrize(
    ('flags', 'text'),
    [
        (('--mean', '1,2,3'), 'one number for each of the 3 bands is needed in both'),
        (('--mean', '1,2', '--std', '1,2'), 'one number for each of the 3 bands is needed'),
        (('--mean', '1,x,3', '--std', '1,2,3'), '--mean 1,x,3: numbers with commas between'),
        (('--mean', '1,2,3', '--std', '1,,3'), '--std 1,,3: numbers with commas between'),
        (('--mean', '1,2,3', '--std', '1,0,3'), 'and deviations above 0'),
        (('--val-share', '1.5'), 'val_share 1.5: a share between 0 and 1 is needed'),
        (('--val-share', '-0.5'), 'val_share -0.5: a share between 0 and 1 is needed'),
        (('--temperature', '3'), 'temperature 3.0 is for balance gsd, and balance is area'),
        (('--balance', 'gsd', '--temperature', '0'), 'temperature 0.0: a number above 0'),
        (('--max-nodata', '1'), 'max_nodata 1.0: a share from 0 up to, not including, 1'),
        (('--roi', 'nowhere.gpkg'), 'nowhere.gpkg does not exist'),
    ],
)
def test_errors(
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    text: str,
) -> None:
    assert pretrain(images, tmp_path / 'run', '--max-steps', 1, *flags) == 2
    assert text in capsys.readouterr().err


def test_a_catalogue_instead_of_a_folder(images: Path, tmp_path: Path) -> None:
    """And, by default, no validation."""
    write_catalogue(catalogue(images), tmp_path / 'index.parquet')
    assert pretrain(tmp_path / 'index.parquet', tmp_path / 'run', '--max-steps', 1) == 0
    assert len(column(tmp_path / 'run', 'train_loss')) == 1
    assert not column(tmp_path / 'run', 'val_loss')
