"""Reading masks: values as they are, and files that are none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xscale.datasets.masked.masks import look_at_mask
from xscale.datasets.masked.tiles import Part
from xscale.errors import UnusableError

from ...data.masked.data import labels, write_png
from ...data.stack.data import write_raster

WHOLE = Part(0, 0, 40, 30)


@pytest.mark.parametrize('kind', ['tif', 'grey', 'indexed', 'bits', 'wide'])
def test_values_as_they_are(tmp_path: Path, kind: str) -> None:
    values = labels(0)
    path = tmp_path / 'a.png'
    if kind == 'tif':
        path = write_raster(tmp_path / 'a.tif', values.astype(np.int16) - 1)
        values = values.astype(np.int16) - 1
    elif kind == 'bits':
        values = (values > 0).astype(np.uint8)
        Image.fromarray(values.astype(bool)).save(path)
    elif kind == 'wide':
        values = values.astype(np.uint16) * 300
        write_png(path, values)
    else:
        write_png(path, values, 'P' if kind == 'indexed' else None)
    mask = look_at_mask(str(path))
    assert mask.grid[:2] == (40, 30)
    assert np.array_equal(mask.read(WHOLE), values)
    assert np.array_equal(mask.read(Part(5, 7, 20, 10)), values[7:17, 5:25])
    found = dict(zip(*(a.tolist() for a in np.unique(values, return_counts=True)), strict=True))
    assert mask.count() == found


def test_rows_are_counted_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('xscale.datasets.masked.masks.ROWS', 7)
    values = labels(0)
    mask = look_at_mask(str(write_raster(tmp_path / 'a.tif', values)))
    assert mask.count() == dict(enumerate(np.bincount(values.ravel()).tolist()))


def test_files_that_are_no_masks(tmp_path: Path) -> None:
    values = labels(0)
    bands = write_raster(tmp_path / 'bands.tif', np.stack([values] * 3))
    floats = write_raster(tmp_path / 'floats.tif', values.astype(np.float32))
    colours = write_png(tmp_path / 'colours.png', np.stack([values] * 3, -1))
    blurred = tmp_path / 'blurred.png'
    Image.fromarray(values).save(blurred, 'JPEG')
    for path, message in (
        (bands, 'holds 3 bands; a mask has one'),
        (floats, 'holds float32; a mask holds whole numbers'),
        (colours, r'is a PNG of colours \(RGB\)'),
        (blurred, 'is a JPEG, which blurs values'),
    ):
        with pytest.raises(UnusableError, match=message):
            look_at_mask(str(path))


def test_grey_that_would_be_spread(tmp_path: Path) -> None:
    """Pillow makes 0, 85, 170 and 255 of two bits of grey."""
    path = write_raster(tmp_path / 'a.png', labels(0), None, driver='PNG', nbits=2, compress=None)
    with Image.open(path) as photo:
        assert np.asarray(photo).max() > 3
    with pytest.raises(UnusableError, match='2 or 4 bits of grey'):
        look_at_mask(str(path))
