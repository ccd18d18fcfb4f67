"""A comparison from Python, and its pictures."""

import re
from pathlib import Path

import pytest
import rasterio
import torch
from matplotlib.figure import Figure

import xscale
from xscale.comparison import Comparison, attended, compare
from xscale.datasets.labelled import open_labelled
from xscale.errors import ConfigError
from xscale.evaluation import figures
from xscale.evaluation.evaluate import Settings
from xscale.evaluation.measure import Draws
from xscale.evaluation.store import FeatureStore
from xscale.models.attention_maps import attention_maps

from .data.labelled.data import write_photo, write_tiffs
from .data.stack.data import write_raster
from .test_evaluate import write_checkpoint

SETTINGS = Settings(('robustness', 'retrieval'), (0.25, 1.0), draws=Draws(20))


@pytest.fixture(scope='module')
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp('comparison')
    for split in ('train', 'test'):
        for number in range(6):
            name = ('desert', 'forest')[number % 2]
            write_photo(folder / 'data' / split / name / f'{number}.png', number, 64)
    checkpoint = write_checkpoint(folder / 'run')
    data = open_labelled(folder / 'data', gsd=2.0)
    store = FeatureStore(folder / 'features')
    return xscale.compare([str(checkpoint)], data, SETTINGS, store=store)


def test_measured_beside_controls(comparison: Comparison) -> None:
    assert list(comparison.models) == ['run', 'random:run', 'image-stats']
    assert list(comparison.encoders) == list(comparison.models)
    assert [model['control'] for model in comparison.models.values()] == [False, True, True]
    model = comparison.models['run']
    assert 'linear' not in model['poolings'][model['pooling']]
    assert comparison.evaluation.gsd == 2
    # The test images are the training images here.
    assert model['poolings'][model['pooling']]['retrieval']['place_1'][1][1] == 1


def test_pictures(comparison: Comparison, tmp_path: Path) -> None:
    paths = [
        comparison.draw_scales(tmp_path / 'scales.png'),
        comparison.draw_curves(tmp_path / 'curves.png'),
        comparison.draw_retrieval('run', tmp_path / 'map.png'),
        comparison.draw_retrieval('run', tmp_path / 'place.png', 'place_1'),
        comparison.draw_neighbours('run', tmp_path / 'near.png'),
        comparison.draw_neighbours('run', tmp_path / 'same.png', 1.0),
        comparison.draw_features('run', tmp_path / 'features.png', (1.0, 0.5)),
        comparison.draw_attention('run', tmp_path / 'attention.png', (1.0, 0.5), 2),
    ]
    for path in paths:
        assert path is not None
        assert path.read_bytes().startswith(b'\x89PNG')
    assert comparison.draw_features('image-stats', tmp_path / 'none.png') is None


def test_what_cannot_be_drawn(comparison: Comparison, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'scale 0\.5 was not measured; 0\.25, 1 are known'):
        comparison.draw_neighbours('run', tmp_path / 'near.png', 0.5)
    with pytest.raises(ConfigError, match='no attention layers'):
        comparison.draw_attention('image-stats', tmp_path / 'attention.png')


@pytest.mark.parametrize(('ways', 'lines'), [(1, 3), (3, 5)])
def test_ways_of_showing(
    comparison: Comparison,
    ways: int,
    lines: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(figures, '_save', lambda figure, path: drawn.append(figure) or path)
    comparison.draw_curves(tmp_path / 'curves.png', ways)
    assert len(drawn[0].axes[0].lines) == lines


def test_attention_of_the_class_token_and_the_middle(comparison: Comparison) -> None:
    embedder = comparison.encoders['run']
    shown = comparison.evaluation.shown(embedder, [0, 1, 2])
    side = shown[0].shape[-1] // embedder.patch
    found = attended(embedder, shown)
    last = attention_maps(embedder, lambda: embedder(*shown), lambda maps: maps)[-1].mean(1)
    middle = 1 + side // 2 * side + side // 2
    assert torch.equal(found['class token'].flatten(1), last[:, 0, 1:])
    assert torch.equal(found['middle patch'].flatten(1), last[:, middle, 1:])


def test_metres_per_pixel_are_looked_for_in_all_images(tmp_path: Path) -> None:
    """Before any is encoded, whether or not encoders are trained too."""
    folder = write_tiffs(tmp_path / 'data', bands=3)
    path = sorted((folder / 'test').rglob('*.TIF'))[-1]
    with rasterio.open(path) as source:
        values, names = source.read(), source.descriptions
    path.unlink()
    write_raster(path, values, crs=None, names=names)
    checkpoint = str(write_checkpoint(tmp_path / 'runs' / 'scale', 'ScaleMAE'))
    said = f'needs metres per pixel, and 1 of 12 images of data do not say them, such as {path}'
    with pytest.raises(ConfigError, match=re.escape(said)):
        compare([checkpoint], open_labelled(folder), store=FeatureStore(tmp_path / 'store'))
    assert not (tmp_path / 'store').exists()
