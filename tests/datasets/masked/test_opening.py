"""Opening images and masks, and what is said of those that cannot be used."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rasterio.transform import from_origin

from xscale.datasets.masked import MaskedTiles, Tile, open_masked
from xscale.datasets.masked.tiles import Part
from xscale.errors import ConfigError, MissingPathError, UnusableError

from ...data.masked.data import RGB, grid_of, labels, pixels, write_masked, write_pair, write_png
from ...data.stack.data import write_raster

DATA = Path(__file__).parents[4] / 'shared' / 'data' / 'segmentation'


def names(masked: Any, split: str) -> list[str]:
    return [Path(scene.image.path).name for scene in masked.splits[split]]


def test_exact_values_at_exact_places(tmp_path: Path) -> None:
    """A tile of 16 px from column 5 and row 9 on, and one beyond a smaller image."""
    masked = open_masked(write_masked(tmp_path))
    assert list(masked.splits) == ['train', 'val', 'test']
    assert masked.classes.names == ('0', '1', '2')
    assert (masked.bands, masked.dtype) == (RGB, 'uint8')
    sample = MaskedTiles(masked, 'train', 16)[Tile(1, 5, 9)]
    assert torch.equal(sample['mask'], torch.from_numpy(labels(1)[9:25, 5:21]).long())
    assert torch.equal(sample['image'], torch.from_numpy(pixels(1)[:, 9:25, 5:21]).float())
    assert sample['valid'].shape == (1, 16, 16)
    assert sample['valid'].all()
    (padded,) = [MaskedTiles(masked, 'val', 64)[0]]
    assert torch.equal(padded['mask'][:30, :40], torch.from_numpy(labels(2)).long())
    assert (padded['mask'][30:] == 255).all()
    assert (padded['mask'][:, 40:] == 255).all()
    assert int(padded['valid'].sum()) == 30 * 40
    assert (padded['image'][:, ~padded['valid'][0]] == 0).all()


def test_each_pixel_counts_once(tmp_path: Path) -> None:
    tiles = MaskedTiles(open_masked(write_masked(tmp_path)), 'test', 16)
    assert len(tiles) == 2 * 3 * 2
    found = torch.stack([tiles[index]['mask'] for index in range(len(tiles))])
    counts = torch.bincount(found.ravel(), minlength=256)
    expected = np.bincount(np.stack([labels(4), labels(5)]).ravel())
    assert counts[:3].tolist() == expected.tolist()


def test_values_are_mapped(tmp_path: Path) -> None:
    values = np.array([10, 200, 77], np.uint8)[labels(0)]
    write_pair(tmp_path / 'train', 'a', 0, values)
    classes = {200: 'roof', 10: 'ground'}
    masked = open_masked(tmp_path, classes=classes, ignore=77)
    expected = np.array([1, 0, 255])[labels(0)]
    assert np.array_equal(MaskedTiles(masked, 'train', 40)[0]['mask'][:30], expected)


def test_values_that_are_found(tmp_path: Path) -> None:
    """255, and what a mask declares to be no data, are no classes."""
    values = np.array([4, 2, 255], np.uint8)[labels(0)]
    values[0, 0] = 9
    image = write_pair(tmp_path / 'train', 'a', 0, values)
    mask = tmp_path / 'train/masks/a.tif'
    write_raster(mask, values, grid=grid_of(0), nodata=9)
    masked = open_masked(tmp_path)
    assert masked.classes.names == ('2', '4')
    found = MaskedTiles(masked, 'train', 40)[0]['mask'][:30]
    assert found[0, 0] == 255
    assert torch.equal(found == 0, torch.from_numpy(values == 2))
    write_raster(mask, np.where(values == 2, 255, 0).astype(np.uint8), grid=grid_of(0))
    with pytest.raises(ConfigError, match=r'masks hold 0, 255, of which 255 is taken .*classes'):
        open_masked(tmp_path)
    classes = open_masked(tmp_path, classes={0: 'ground', 255: 'roof'}).classes
    assert classes.ignored == ()
    assert image.exists()


def test_declared_no_data_is_not_labelled(tmp_path: Path) -> None:
    """Unless it is a class, as 0 often is, though it is declared; of each mask its own."""
    for number, nodata in ((0, 9), (1, 11)):
        values = labels(number)
        write_pair(tmp_path / 'train', str(number), number, values)
        values[3, 4] = nodata
        path = tmp_path / f'train/masks/{number}.tif'
        write_raster(path, values, grid=grid_of(number), nodata=nodata)
    for classes in (None, ['a', 'b', 'c']):
        masked = open_masked(tmp_path, classes=classes)
        assert len(masked.classes.names) == 3
        for index in (0, 1):
            found = MaskedTiles(masked, 'train', 40)[index]['mask'][:30]
            assert (found == 255).nonzero().tolist() == [[3, 4]]
    write_raster(path, labels(1), grid=grid_of(1), nodata=0)
    masked = open_masked(tmp_path, classes=['a', 'b', 'c'])
    assert int((MaskedTiles(masked, 'train', 40)[1]['mask'][:30] == 255).sum()) == 0


def test_no_data_is_not_labelled(tmp_path: Path) -> None:
    """Nor read as a value."""
    values = pixels(0)
    values[:, 4:6, 3] = 0
    root = tmp_path / 'train'
    write_pair(root, 'a', 0)
    write_raster(root / 'images/a.tif', values, grid=grid_of(0), names=RGB, nodata=0)
    sample = MaskedTiles(open_masked(tmp_path), 'train', 16)[Tile(0, 2, 2)]
    assert (~sample['valid']).nonzero().tolist() == [[0, 2, 1], [0, 3, 1]]
    assert sample['mask'][2:4, 1].tolist() == [255, 255]


def test_true_metres_and_footprints(tmp_path: Path) -> None:
    """Of the tile: of degrees at 60° and of Web Mercator, whose metres are half there."""
    mask = labels(0)
    for name, crs, grid in (
        ('degrees', 'EPSG:4326', from_origin(15, 60, 1e-4, 1e-4)),
        ('web', 'EPSG:3857', from_origin(0, 8_399_738, 10, 10)),
    ):
        write_pair(tmp_path / name / 'train', 'a', 0, mask, crs=crs, grid=grid)
        write_raster(tmp_path / name / 'train/masks/a.tif', mask, crs=crs, grid=grid)
    sample = MaskedTiles(open_masked(tmp_path / 'degrees'), 'train', 16)[Tile(0, 10, 4)]
    assert float(sample['gsd']) == pytest.approx((11.141 * 5.580) ** 0.5, rel=1e-3)
    footprint = [15.001, 60 - 0.002, 15.0026, 60 - 0.0004]
    np.testing.assert_allclose(sample['footprint'], footprint, rtol=0, atol=1e-9)
    web = MaskedTiles(open_masked(tmp_path / 'web'), 'train', 16)[0]
    assert float(web['gsd']) == pytest.approx(5, rel=5e-3)


def test_photos_and_png_masks(tmp_path: Path) -> None:
    """They say no place; their metres per pixel may be given."""
    values, mask = pixels(0).transpose(1, 2, 0), labels(0)
    write_png(tmp_path / 'train/images/a.png', values)
    write_png(tmp_path / 'train/masks/a.png', mask)
    masked = open_masked(tmp_path, gsd=0.3)
    sample = MaskedTiles(masked, 'train', 16)[Tile(0, 3, 2)]
    assert torch.equal(sample['image'], torch.from_numpy(pixels(0)[:, 2:18, 3:19]).float())
    assert torch.equal(sample['mask'], torch.from_numpy(mask[2:18, 3:19]).long())
    assert float(sample['gsd']) == pytest.approx(0.3)
    assert sample['footprint'].isnan().all()
    assert MaskedTiles(open_masked(tmp_path), 'train', 16)[0]['gsd'].isnan()


def test_bands(tmp_path: Path) -> None:
    masked = open_masked(write_masked(tmp_path), bands=['blue', '1'])
    sample = MaskedTiles(masked, 'train', 16)[0]
    assert torch.equal(sample['image'], torch.from_numpy(pixels(0)[[2, 0], :16, :16]).float())
    with pytest.raises(ConfigError, match=r'no image that can be used, of 6(.|\n)*no band nir'):
        open_masked(tmp_path, bands=['nir'])


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        ({'values': labels(0)[:29]}, r'differ in size, 40×30 px against 40×29 px of the mask'),
        ({'crs': 'EPSG:32634'}, r'UTM zone 33N against WGS 84 / UTM zone 34N of the mask'),
        ({'grid': grid_of(1)}, r'corners of the mask lie up to 2e\+03 pixels off'),
    ],
)
def test_another_grid(tmp_path: Path, mask: dict[str, Any], message: str) -> None:
    """Both files are named, and what differs."""
    image = write_pair(tmp_path / 'train', 'a', 0)
    path = tmp_path / 'train/masks/a.tif'
    options = {'grid': grid_of(0), **mask}
    write_raster(path, options.pop('values', labels(0)), **options)
    with pytest.raises(ConfigError, match=message) as raised:
        open_masked(tmp_path)
    assert str(raised.value).startswith(f'{image} and its mask {path} differ in ')


def test_one_mask_is_missing(tmp_path: Path) -> None:
    write_masked(tmp_path)
    (tmp_path / 'train/masks/1.tif').unlink()
    masked = open_masked(tmp_path)
    assert names(masked, 'train') == ['0.tif']
    (rejected,) = masked.rejected
    assert rejected.path == str(tmp_path / 'train/images/1.tif')
    assert rejected.reason.startswith(f'has no mask {tmp_path}/train/masks/1')
    (tmp_path / 'val/masks/0.tif').unlink()
    with pytest.raises(ConfigError, match=r'2 of 6 images .* cannot be used') as raised:
        open_masked(tmp_path)
    assert str(tmp_path / 'val/images/0.tif') in str(raised.value)


def test_one_image_is_broken(tmp_path: Path) -> None:
    write_masked(tmp_path)
    (tmp_path / 'test/images/0.tif').write_bytes(b'')
    assert [one.reason for one in open_masked(tmp_path).rejected] == ['is empty']
    write_masked(tmp_path)
    (tmp_path / 'test/masks/0.tif').write_bytes(b'')
    (rejected,) = open_masked(tmp_path).rejected
    assert rejected.reason == f'its mask {tmp_path}/test/masks/0.tif is empty'
    write_masked(tmp_path)
    write_raster(tmp_path / 'test/images/0.tif', pixels(4, bands=4), grid=grid_of(4))
    (rejected,) = open_masked(tmp_path).rejected
    assert rejected.reason == (
        'holds red, green, blue, 4 (uint8) where most hold red, green, blue (uint8); choose bands '
        'that all have (bands), such as by common name'
    )


def test_no_images_to_train_on(tmp_path: Path) -> None:
    for name in ('images', 'masks'):
        (tmp_path / 'train' / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match='train/images holds no image'):
        open_masked(tmp_path, val_share=0.2)


def test_a_class_of_one_mask_alone(tmp_path: Path) -> None:
    """Is told, for it may be a slip: with the file, and what to do."""
    write_masked(tmp_path)
    mask = labels(1)
    mask[:2, :3] = 7
    write_pair(tmp_path / 'train', '1', 1, mask)
    data = open_masked(tmp_path)
    assert data.classes.names == ('0', '1', '2', '7')
    (note,) = [one for one in data.notes if one.startswith('7 ')]
    assert 'train/masks/1.tif (6 pixels)' in note
    assert 'set ignore: 7' in note
    assert open_masked(tmp_path, ignore=7).classes.names == ('0', '1', '2')


def test_a_label_that_is_no_class(tmp_path: Path) -> None:
    """Named with its file, and counted in all of it, not in the tile alone."""
    values = labels(0)
    write_pair(tmp_path / 'train', 'a', 0, values)
    tiles = MaskedTiles(open_masked(tmp_path, classes=['ground', 'roof']), 'train', 8)
    count = int((values == 2).sum())
    with pytest.raises(ConfigError, match=rf'masks/a\.tif holds the values 2 \({count} pixels\)'):
        tiles[0]


def test_a_file_that_goes_away(tmp_path: Path) -> None:
    tiles = MaskedTiles(open_masked(write_masked(tmp_path)), 'train', 16)
    (tmp_path / 'train/masks/0.tif').unlink()
    with pytest.raises(UnusableError, match=r'train/masks/0\.tif cannot be read: .*bring it back'):
        tiles[0]


def test_a_folder_without_splits(tmp_path: Path) -> None:
    """All are of train, until a share is held out or a file says."""
    write_masked(tmp_path, ('',), each=10)
    assert len(open_masked(tmp_path).splits['train']) == 10
    parts = [open_masked(tmp_path, val_share=0.2, test_share=0.1, seed=seed) for seed in (0, 0, 1)]
    one, again, other = ({s: names(p, s) for s in ('train', 'val', 'test')} for p in parts)
    assert [len(one[split]) for split in ('train', 'val', 'test')] == [7, 2, 1]
    assert sorted(name for part in one.values() for name in part) == [
        f'{number}.tif' for number in range(10)
    ]
    assert one == again != other
    rows = ['path,split', 'images/3.tif,train', 'images/5.tif,valid', 'images/1.tif,train']
    (tmp_path / 'split.csv').write_text('\n'.join(rows))
    masked = open_masked(tmp_path, val_share=0.5)
    assert (names(masked, 'train'), names(masked, 'val')) == (['3.tif', '1.tif'], ['5.tif'])
    assert any('7 images are in no split' in note for note in masked.notes)
    (tmp_path / 'split.csv').write_text('path,split\nmasks/3.tif,train\n')
    with pytest.raises(ConfigError, match=r'masks/3\.tif, which is no image of'):
        open_masked(tmp_path)


def test_what_lies_beside_is_told(tmp_path: Path) -> None:
    write_masked(tmp_path)
    (tmp_path / 'train/images/notes.txt').write_text('')
    shutil.copy(tmp_path / 'train/masks/0.tif', tmp_path / 'train/masks/9.tif')
    (tmp_path / 'split.csv').write_text('path,split\n')
    (tmp_path / 'test').rename(tmp_path / 'Testing')
    shutil.rmtree(tmp_path / 'Testing/images')
    for path in (tmp_path / 'val/images').iterdir():
        path.unlink()
    notes = '\n'.join(open_masked(tmp_path).notes)
    assert 'split.csv is not read, for there are the folders train, val' in notes
    assert f'{tmp_path}/Testing is passed over: it holds no folder images' in notes
    assert f'{tmp_path}/val/images holds no image that is labelled' in notes
    assert f'not looked at in {tmp_path}/train/images: 1 .txt' in notes
    assert f'masks without an image: 1 ({tmp_path}/train/masks/9.tif)' in notes


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError):
        open_masked(tmp_path / 'nothing')
    with pytest.raises(ConfigError, match=r'but no images and masks\. Sort them into'):
        open_masked(tmp_path)
    write_pair(tmp_path / 'train', 'a', 0)
    with pytest.raises(ConfigError, match=r'1 image to train on .*val_share: 0'):
        open_masked(tmp_path, val_share=0.2)
    with pytest.raises(ConfigError, match='attribute kind names a column of polygons'):
        open_masked(tmp_path, attribute='kind')
    with pytest.raises(ConfigError, match='gsd -1'):
        open_masked(tmp_path, gsd=-1)
    shutil.copy(tmp_path / 'train/images/a.tif', tmp_path / 'train/images/a.tiff')
    with pytest.raises(ConfigError, match=r'a\.tif and .*a\.tiff have one name'):
        open_masked(tmp_path)
    shutil.rmtree(tmp_path / 'train/masks')
    (tmp_path / 'train/images/a.tiff').unlink()
    with pytest.raises(ConfigError, match=r'no folder masks beside images.*polygons \(labels\)'):
        open_masked(tmp_path)


@pytest.mark.skipif(not DATA.is_dir(), reason='the real images are not here')
@pytest.mark.parametrize(
    ('name', 'gsd', 'sizes'),
    [
        ('oam_banepa_buildings_0.13m', 0.132, {'train': 32, 'test': 16}),
        ('sn2_vegas_0.3m', 0.27, {'train': 1}),
        ('sn7_buildings_planet4.8m', 3.98, {'train': 1}),
    ],
)
def test_real_images(name: str, gsd: float, sizes: dict[str, int]) -> None:
    masked = open_masked(DATA / name, classes=['ground', 'building'])
    assert {split: len(scenes) for split, scenes in masked.splits.items()} == sizes
    assert masked.rejected == []
    tiles = MaskedTiles(masked, 'train', 256)
    sample = tiles[len(tiles) - 1]
    assert float(sample['gsd']) == pytest.approx(gsd, rel=0.01)
    scene = masked.splits['train'][0]
    assert scene.mask is not None
    assert set(scene.mask.count()) == {0, 1}
    # All that holds data is counted once, as the file says.
    whole = Part(0, 0, *scene.image.grid[:2])
    there = scene.image.read(whole)[1]
    expected = np.bincount(scene.mask.read(whole)[there])
    own = [number for number, tile in enumerate(tiles.covering) if tile.image == 0]
    found = torch.cat([tiles[number]['mask'].ravel() for number in own])
    assert torch.bincount(found, minlength=256)[:2].tolist() == expected.tolist()
