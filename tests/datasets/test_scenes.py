"""Scenes of the world: of the class they are filed under, apart, and where they say they are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from xscale.datasets.labelled import open_labelled
from xscale.datasets.masked import MaskedTiles, open_masked
from xscale.datasets.world import CLASSES, WORLD_ORIGIN, World, write_masked, write_scenes
from xscale.datasets.world.scenes import APART, LEAST

EXTENT, SEED = 1280.0, 3


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('scenes')
    written = {
        split: write_scenes(folder / split, seed=seed, extent=EXTENT, count=3)
        for split, seed in (('train', SEED), ('test', SEED + 1))
    }
    for split, counts in written.items():
        assert {c: len(list((folder / split / c).iterdir())) for c in counts} == counts
        assert max(counts.values()) == 3
    return folder


def ground(path: Path, seed: int) -> tuple[float, float, float, float]:
    """Return west, south, east, north in metres of the world the scene is of."""
    with rasterio.open(path) as source:
        left, bottom, right, top = source.bounds
    east, north = WORLD_ORIGIN[0], WORLD_ORIGIN[1] + APART * seed
    return left - east, bottom - north, right - east, top - north


def test_a_scene_shows_its_class_where_it_says_it_is(scenes: Path) -> None:
    world = World(SEED, EXTENT)
    paths = sorted((scenes / 'train').rglob('*.tif'))
    assert len({path.parent.name for path in paths}) > 2
    for path in paths:
        picture, labels = world.render(ground(path, SEED), 1.0)
        name = path.parent.name
        # Scenes are chosen by a coarser look at the ground.
        assert (labels == CLASSES.index(name)).mean() > 0.9 * LEAST[name]
        with rasterio.open(path) as source:
            red = source.read(1)
        here, *near = (
            np.corrcoef(np.roll(red, shift, (0, 1)).ravel(), picture[2].ravel())[0, 1]
            for shift in ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2))
        )
        assert here > max(0.8, *near)


def test_scenes_share_no_ground(scenes: Path) -> None:
    boxes = [ground(path, SEED) for path in sorted(scenes.rglob('*.tif'))]
    for number, (west, south, east, north) in enumerate(boxes):
        for other in boxes[:number]:
            apart = other[2] <= west or other[0] >= east or other[3] <= south or other[1] >= north
            assert apart


def test_they_are_labelled_images(scenes: Path) -> None:
    data = open_labelled(scenes, bands=['red', 'green', 'blue'])
    assert set(data.classes) <= set(LEAST)
    assert (data.dtype, data.rejected, data.notes) == ('uint8', [], [])
    sample = data.splits['test'][0]
    assert sample['image'].shape == (3, 128, 128)
    assert sample['gsd'] == pytest.approx(1, rel=0.01)


def test_same_seed_same_scenes_whatever_the_global_seed(scenes: Path, tmp_path: Path) -> None:
    np.random.seed(99)  # noqa: NPY002
    write_scenes(tmp_path, seed=SEED, extent=EXTENT, count=3)
    for path in sorted(tmp_path.rglob('*.tif')):
        twin = scenes / 'train' / path.relative_to(tmp_path)
        with rasterio.open(path) as one, rasterio.open(twin) as other:
            assert one.transform == other.transform
            np.testing.assert_array_equal(one.read(), other.read())


def test_a_mask_tells_the_class_of_each_pixel(tmp_path: Path) -> None:
    assert (
        write_masked(tmp_path / 'train', seed=SEED, extent=EXTENT, gsd=0.8, size=96, count=3) == 3
    )
    (tmp_path / 'classes.txt').write_text('\n'.join(CLASSES))
    data = open_masked(tmp_path, bands=['red', 'green', 'blue'])
    assert (data.classes.names, data.rejected, data.notes) == (CLASSES, [], [])
    world, tiles = World(SEED, EXTENT), MaskedTiles(data, 'train', 96)
    assert len(tiles) == len(tiles.scenes) == 3  # none is wider than it should be
    for scene, sample in zip(tiles.scenes, tiles, strict=True):
        _, labels = world.render(ground(Path(scene.image.path), SEED), 0.8)
        assert (sample['mask'].numpy() == labels).mean() > 0.9


@pytest.mark.parametrize('write', [write_scenes, write_masked])
@pytest.mark.parametrize(
    ('setting', 'message'),
    [({'count': 0}, 'count 0'), ({'gsd': -1.0}, 'gsd -1'), ({'size': 2000}, 'a scene of 2000 m')],
)
def test_bad_settings(
    write: Callable[..., object], setting: dict[str, float], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path, extent=EXTENT, **setting)
    assert not list(tmp_path.iterdir())
