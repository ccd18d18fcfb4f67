"""Maps lie on real images, one of them in degrees and read through a grid in metres."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import rasterio

from xscale.datasets.index import scan
from xscale.inference import ClassLayer, Mapper, Settings

from .standins import Pointwise

SHARED = Path(__file__).parents[3] / 'shared' / 'data' / 'segmentation'
BANEPA = SHARED / 'oam_banepa_buildings_0.13m/test/images/OAM-386694-220241-19.tif'
VEGAS = SHARED / 'sn2_vegas_0.3m/images/sn2_vegas_img205.tif'


@pytest.mark.parametrize(('image', 'warped'), [(BANEPA, False), (VEGAS, True)])
def test_a_map_lies_on_its_image(tmp_path: Path, image: Path, warped: bool) -> None:
    if not image.exists():
        pytest.skip(f'no {image}')
    row = scan(image).files[0]
    assert row['warp'] == warped
    with rasterio.open(image) as source:
        pixels, place = source.read(), (source.transform, source.crs, source.shape)
    model = Pointwise(scale=float(2 * pixels.mean()))
    mapper = Mapper(model, 4, ClassLayer(model.classes), Settings(128, 32))
    mapper.write(row, tmp_path / 'map.tif', {})
    with rasterio.open(tmp_path / 'map.tif') as source:
        assert (source.transform, source.crs, source.shape) == place
        found = source.read(1)
    expected = model.directly(pixels).argmax(0)
    if not warped:
        assert (found == expected).mean() > 0.9999
        return
    # Resampled twice it is not the same, but it fits best where it is.
    inside = found[1:-1, 1:-1]
    fits = {
        (down, right): np.mean(np.roll(expected, (down, right), (0, 1))[1:-1, 1:-1] == inside)
        for down, right in product((-1, 0, 1), repeat=2)
    }
    assert max(fits, key=fits.__getitem__) == (0, 0)
    assert fits[0, 0] > 0.9
