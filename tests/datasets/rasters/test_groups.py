"""Rasters of other bands beside one another: in order, joined, and mixed."""

from pathlib import Path

import numpy as np
from rasterio.transform import from_origin

from xscale.datasets import Rasters

from ...data.stack.data import write_raster
from .tiles import bare, tile


def test_bands_in_the_order_asked(stack: Path) -> None:
    dataset = Rasters([stack / 'sentinel2', stack / 'landsat'], ['nir', 'red'])
    for number, bands in ((0, [3, 2]), (1, [3, 2])):
        path = Path(dataset.index['filepath'].iloc[number])
        sample = dataset[tile(dataset, 70, 5, 32, 32, number)]
        pixels = bare(path, 70, 5, 32)[bands]
        np.testing.assert_array_equal(sample['image'], np.where(sample['valid'], pixels, 0))
        assert sample['sensor'] == dataset.index['sensor'].iloc[number]
    assert dataset.sensors[0].bands != dataset.sensors[1].bands


def test_layers_are_joined(tmp_path: Path) -> None:
    """Numbered bands of two layers are no group, and what was made of one layer is not kept."""
    noise = np.random.default_rng(0).integers(1, 99, (3, 40, 40), dtype=np.uint8)
    one, other = (tmp_path / name for name in ('one', 'other'))
    for number, folder in enumerate((one, other)):
        grid = from_origin(500_000 + 1000 * number, 5_300_000, 10, 10)
        write_raster(folder / 'x.tif', noise, grid=grid)
    layers = {folder.name: Rasters(folder, ['1', '2']) for folder in (one, other)}
    assert len(layers['one'].index) == len(layers['one'].groups) == 1
    joined = Rasters.join(layers)
    assert len(joined) == len(joined.index) == 2
    assert joined.groups == {'one-1-2': ('1', '2'), 'other-1-2': ('1', '2')}
    assert [sensor.name.split(':')[0] for sensor in joined.sensors] == ['one', 'other']
    assert joined.rows.sensor.tolist() == [0, 1]


def test_a_slice_of_torchgeo_over_rasters_of_other_bands(tmp_path: Path) -> None:
    for name, bands, value in (('a.tif', 3, 0), ('b.tif', 4, 7)):
        pixels = np.full((bands, 40, 40), value, np.uint8)
        pixels[:, :, :3] = 5
        write_raster(tmp_path / name, pixels, nodata=0)
    dataset = Rasters(tmp_path, mixed=True)
    x, y, _ = dataset.bounds
    width = x.stop - x.start
    sample = dataset[x.start + width / 2 : x.stop, y.start : y.stop]
    assert sample['image'].shape[0] == 4
    assert sample['image'].amax() == 7
