"""Features: streamed, kept, and of images as each look shows them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from xscale.errors import ConfigError
from xscale.evaluation.features import (
    Look,
    Squares,
    choose_side,
    common_gsd,
    extract,
    show,
    statistics,
)
from xscale.evaluation.store import FeatureStore
from xscale.types import Sample

from ..tiny import seeded


class Images:
    """Twelve images of two bands, some wider than high, with a hole in the first."""

    fingerprint = 'images'

    def __init__(self, side: int = 20) -> None:
        self.side, self.read = side, 0

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Sample:
        self.read += 1
        wide = self.side + 8 * (index % 2)
        image = torch.rand(2, self.side, wide, generator=seeded(index)) * 100
        valid = torch.ones(1, self.side, wide, dtype=torch.bool)
        if index == 0:
            valid[:, :5] = False
            image[:, :5] = 0
        return {'image': image, 'valid': valid, 'gsd': torch.tensor(1.0 + index)}


class Answer(NamedTuple):
    pooled: dict[str, Tensor]


class Means:
    """An encoder of 8 px patches whose features are the band means, the side and the GSD."""

    name, fingerprint, poolings, any_size, patch = 'means', 'means', ('mean', 'class'), True, 8

    def input_side(self, side: int, fixed: bool) -> int:
        return max(8, round(side / 8) * 8)

    def __call__(self, image: Tensor, gsd: Tensor, valid: Tensor) -> Answer:
        side = torch.full((len(image), 1), float(image.shape[-1]))
        rows = torch.cat([image.mean((2, 3)), side, gsd[:, None]], 1)
        return Answer({'mean': rows, 'class': -rows})


def features(folder: Path, look: Look, images: Any = None, side: int = 20) -> np.ndarray:
    found = extract(
        Means(), images or Images(), [look], side=side, store=FeatureStore(folder), batch_size=5
    )
    return np.array(found[look]['mean'])


def test_in_order_and_by_pooling(tmp_path: Path) -> None:
    images = Images()
    look = Look(constant=True)
    found = extract(Means(), images, [look], side=20, store=FeatureStore(tmp_path), batch_size=5)[
        look
    ]
    assert found['mean'].shape == (12, 4)
    assert np.array_equal(found['class'], -found['mean'])
    # 20 px are enlarged or shrunk to a multiple of the patch.
    assert np.allclose(found['mean'][:, 3], (1 + np.arange(12)) * 20 / 16)


@pytest.mark.parametrize(
    ('look', 'side', 'factor'),
    [
        (Look(), 48, 1.0),
        (Look(0.5), 24, 2.0),
        (Look(0.5, constant=True), 24, 1.0),
        (Look(0.5, fixed=True), 48, 1.0),
        # 12 px are no multiple of the patch.
        (Look(0.25), 16, 3.0),
    ],
)
def test_what_an_encoder_is_told(tmp_path: Path, look: Look, side: int, factor: float) -> None:
    """Metres per pixel are those of the pixels it gets, unless they are to stay constant."""
    found = features(tmp_path, look, Images(48), side=48)
    assert np.all(found[:, 2] == side)
    assert np.allclose(found[:, 3], (1 + np.arange(12)) * factor)


def test_read_once_for_all_looks_and_kept(tmp_path: Path) -> None:
    images = Images()
    looks = [Look(), Look(0.5), Look(0.5, fixed=True)]
    first = extract(Means(), images, looks, side=20, store=FeatureStore(tmp_path))
    assert images.read == 12
    second = extract(Means(), images, looks, side=20, store=FeatureStore(tmp_path))
    assert images.read == 12
    for look in looks:
        assert np.array_equal(first[look]['mean'], second[look]['mean'])
    assert isinstance(second[look]['mean'], np.memmap)
    extract(Means(), images, [Look()], side=24, store=FeatureStore(tmp_path))
    assert images.read == 24


def test_nothing_half_written_is_kept(tmp_path: Path) -> None:
    class Breaks(Means):
        calls = 0

        def __call__(self, *shown: Tensor) -> Answer:
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().__call__(*shown)

    store = FeatureStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        extract(Breaks(), Images(), [Look()], side=20, store=store, batch_size=5)
    assert not list(tmp_path.iterdir())
    whole = extract(Means(), Images(), [Look()], side=20, store=store, batch_size=5)
    assert np.isfinite(whole[Look()]['mean']).all()


def test_features_that_are_not_finite(tmp_path: Path) -> None:
    class Broken(Means):
        def __call__(self, *shown: Tensor) -> Answer:
            answer = super().__call__(*shown)
            return Answer({name: rows / 0 for name, rows in answer.pooled.items()})

    with pytest.raises(ConfigError, match=r'means gives features that are not finite'):
        extract(Broken(), Images(), [Look()], side=20, store=FeatureStore(tmp_path))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('in the way')
    store = FeatureStore(tmp_path / 'file')
    with pytest.raises(ConfigError, match=r'cannot be kept in .*file: .*; set XSCALE_CACHE'):
        extract(Means(), Images(), [Look()], side=20, store=store)


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    before = features(tmp_path, Look())
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:200])
    assert np.array_equal(features(tmp_path, Look()), before)


def test_squares_from_the_middle() -> None:
    images = Images()
    sample = Squares(images, 20)[1]
    assert torch.equal(sample['image'], images[1]['image'][..., 4:24])
    assert float(Squares(images, 10)[1]['gsd']) == 2.0 * 2


def test_statistics_of_valid_pixels() -> None:
    images = Images()
    mean, std = statistics(images, 20)
    squares = [Squares(images, 20)[index] for index in range(12)]
    values = np.concatenate([s['image'][:, s['valid'][0]].numpy() for s in squares], axis=1)
    assert np.allclose(mean, values.mean(1), rtol=1e-5)
    assert np.allclose(std, values.std(1), rtol=1e-5)


def test_side_of_full_scale() -> None:
    assert choose_side(Images(20)) == 20
    assert choose_side(Images(400)) == 256
    assert choose_side(Images(400), 384) == 384
    with pytest.raises(ConfigError, match='a side of 4 px'):
        choose_side(Images(), 4)


def test_one_gsd_or_none() -> None:
    """Of images that differ none is told, and of those that do not say."""

    class Same(Images):
        gsd = 2.0

        def __getitem__(self, index: int) -> Sample:
            return super().__getitem__(index) | {'gsd': torch.tensor(self.gsd)}

    assert common_gsd(Same(), 10) == pytest.approx(4.0)
    assert common_gsd(Images(), 20) is None
    silent = Same()
    silent.gsd = float('nan')
    assert common_gsd(silent, 20) is None


def test_a_scale_loses_detail() -> None:
    """A checkerboard becomes flat, and stays so when it is enlarged again."""
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 100.0
    batch = {
        'image': board.expand(1, 1, 32, 32),
        'valid': torch.ones(1, 1, 32, 32, dtype=torch.bool),
        'gsd': torch.ones(1),
    }
    for look, side in ((Look(0.5), 16), (Look(0.5, fixed=True), 32)):
        image, _, _ = show(batch, look, Means())
        assert image.shape[-1] == side
        assert torch.allclose(image, torch.tensor(50.0), atol=1e-3)
