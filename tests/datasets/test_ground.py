"""Images to test on whose ground is trained on."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import shapely
from rasterio.transform import from_origin

from xscale import geo
from xscale.datamodules import LabelledDataModule, MaskedDataModule
from xscale.datasets.ground import Place, box, place_warnings, seen_ground
from xscale.datasets.labelled import check_readable, open_labelled
from xscale.datasets.masked import open_masked

from ..data.labelled.data import write_photos, write_tiffs
from ..data.masked.data import write_masked

#: At the edge of its zone, where the grid is turned by 2.6 degrees against north.
FAR_NORTH = 'EPSG:32633'


def tile(col: int, row: int, side: int = 100, crs: str = FAR_NORTH) -> shapely.Polygon:
    """Outline a tile of a grid of 10 m pixels."""
    return geo.outline(
        crs, from_origin(335_000 + 10 * col, 6_655_000 - 10 * row, 10, 10), side, side
    )


def test_seen_ground() -> None:
    trained = [tile(0, 0), tile(0, 0), tile(500, 0, 20), None, tile(980, 0, 40)]
    images = [
        tile(0, 0),  # the same
        tile(95, 0),  # a twentieth
        tile(80, 0),  # a fifth
        tile(100, 0),  # side by side
        tile(0, 100),
        tile(480, 0, 200),  # a hundredth
        tile(500, 0, 10),  # a part
        None,
    ]
    expected = [True, False, True, False, False, False, True, False]
    assert seen_ground(images, trained).tolist() == expected
    assert not seen_ground(images, []).any()
    assert not seen_ground([], trained).any()
    assert not seen_ground([None], trained).any()


def test_several_images_show_ground_together() -> None:
    parts = [tile(col, 0, 20) for col in (0, 20, 40)]
    assert not seen_ground([tile(0, 0)], parts[:2]).any()
    assert seen_ground([tile(0, 0)], parts).all()


def test_boxes_of_neighbours_in_utm_are_apart() -> None:
    """They overlap in degrees, but their ground does not."""
    grid = from_origin(335_000, 6_655_000, 10, 10)
    first, second = (box(geo.footprint(FAR_NORTH, grid, (c, 0, 100, 100))) for c in (0, 100))
    assert first is not None
    assert second is not None
    assert first.intersection(second).area > 0.02 * first.area
    assert not seen_ground([first], [second]).any()
    assert seen_ground([first], [first]).all()
    assert box(np.full(4, np.nan)) is None


def test_past_the_antimeridian() -> None:
    own, other = box(np.array([179.9, 0, 180.1, 1])), box(np.array([-180.1, 0, -179.9, 1]))
    assert seen_ground([own], [other]).all()
    assert seen_ground([other], [own]).all()
    assert not seen_ground([own], [box(np.array([-179.8, 0, -179.6, 1]))]).any()


def test_what_has_no_outline_in_degrees() -> None:
    around = geo.outline('EPSG:3031', from_origin(-1e6, 1e6, 1e4, 1e4), 200, 200)
    assert not seen_ground([around, tile(0, 0)], [around]).any()


def test_what_is_warned_of() -> None:
    places = {
        'train': [Place(1.0, tile(0, 0)), Place(2.0), Place()],
        'val': [Place(0.5, tile(200, 0)), Place(4.0)],
        'test': [Place(0.4, tile(0, 0)), Place(30, tile(300, 0)), Place(1.5), Place()],
    }
    assert place_warnings(places) == [
        '1 of 4 test images show ground that images of train show too: scores say little of new '
        'places',
        '2 of 4 test images have pixels of 0.4 to 30 m, and those of train of 1 to 2 m: scores are '
        'of scales that were not trained on',
    ]
    assert place_warnings({'test': places['test']}) == []
    assert place_warnings({'train': [Place()], 'test': places['test']}) == []


def test_labelled_images(tmp_path: Path) -> None:
    folder = write_tiffs(tmp_path / 'data')
    data = check_readable(open_labelled(folder))
    assert data.warnings == []
    (one, *_) = sorted((folder / 'training').rglob('*.TIF'))
    (other, *_) = sorted((folder / 'test').rglob('*.TIF'))
    shutil.copy(one, other)
    data = check_readable(open_labelled(folder))
    (warning,) = data.warnings
    assert warning.startswith('1 of 4 test images show ground')
    # Those that are not looked at before are so now.
    assert open_labelled(folder).warnings == [warning]
    module = LabelledDataModule(str(folder))
    module.announce = False
    module.setup('fit')
    assert f'  warning: {warning}' in module.summary().splitlines()
    assert open_labelled(write_photos(tmp_path / 'photos')).warnings == []


def test_images_that_are_left_out_do_not_count(tmp_path: Path) -> None:
    folder = write_tiffs(tmp_path / 'data', each=3)
    paths = sorted((folder / 'training').rglob('*.TIF'))
    shutil.copy(paths[-1], sorted((folder / 'test').rglob('*.TIF'))[0])
    paths[0].write_bytes(b'no image')
    data = check_readable(open_labelled(folder))
    assert len(data.rejected) == 1
    split = data.splits['train']
    gsd = [float(sample['gsd']) for sample in split]
    assert [place.gsd for place in split.places] == pytest.approx(gsd)
    assert data.warnings[0].startswith('1 of 6 test')
    paths[-1].write_bytes(b'no image')
    assert check_readable(open_labelled(folder)).warnings == []


def test_masked_images(tmp_path: Path) -> None:
    folder = write_masked(tmp_path / 'data')
    assert open_masked(folder).warnings == []
    for kind in ('images', 'masks'):
        shutil.copy(folder / 'train' / kind / '0.tif', folder / 'test' / kind / '1.tif')
    (warning,) = open_masked(folder).warnings
    assert warning.startswith('1 of 2 test images show ground')
    module = MaskedDataModule(str(folder))
    module.announce = False
    module.setup('fit')
    assert f'  warning: {warning}' in module.summary().splitlines()
