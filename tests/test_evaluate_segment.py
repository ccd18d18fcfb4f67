"""``xscale evaluate`` on images with masks, from checkpoints to a report."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from xscale.cli import main
from xscale.datasets.masked import open_masked
from xscale.datasets.masked.listing import is_masked
from xscale.errors import ConfigError
from xscale.evaluation.segmentation import confusions, mean_iou, pixels_of
from xscale.tasks import Classification, Segmentation, load_predictor
from xscale.tuning import Tuning
from xscale.tuning.tiles import Tiles, choose_tile
from xscale.tuning.training import build

from .data.masked.data import box, grid_of, write_masked, write_pair, write_png, write_polygons
from .test_evaluate import write_checkpoint

SIDE = 48
QUICK = ('--bootstrap', '50', '--decoder-channels', '8', '--epochs', '2', '--lr', '0.003')
RGB = ('red', 'green', 'blue')


def write_scenes(folder: Path, train: int = 8, test: int = 3) -> Path:
    """Write PNGs with bright squares, and their masks."""
    for split, count in (('train', train), ('test', test)):
        for number in range(count):
            rng = np.random.default_rng([split == 'test', number])
            mask = np.zeros((SIDE, SIDE), np.uint8)
            row, col = rng.integers(0, SIDE // 2, 2)
            mask[row : row + SIDE // 2, col : col + SIDE // 2] = 1
            image = rng.normal(80 + 100 * mask[..., None], 20, (SIDE, SIDE, 3))
            name = f'{number}.png'
            write_png(folder / split / 'images' / name, image.clip(0, 255).astype(np.uint8))
            write_png(folder / split / 'masks' / name, mask)
    (folder / 'classes.txt').write_text('ground\nroof\n')
    return folder


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp('scenes'))


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder of other weights than those at random in its place."""
    path = write_checkpoint(tmp_path_factory.mktemp('runs') / 'mae')
    content = torch.load(path, weights_only=True)
    for key, tensor in content['state_dict'].items():
        if key.startswith('model.blocks') and key.endswith('weight'):
            content['state_dict'][key] = tensor * 1.1
    torch.save(content, path)
    return path


@pytest.fixture(scope='module')
def report(checkpoint: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without a protocol: it is chosen by the data."""
    out = tmp_path_factory.mktemp('out') / 'report'
    flags = ['--out', str(out), '--scales', '12.5,50,100', *QUICK]
    assert main(['evaluate', str(checkpoint), str(scenes), *flags]) == 0
    return out


@pytest.fixture(scope='module')
def results(report: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((report / 'results.json').read_text())
    return found


def test_what_is_measured(results: dict[str, Any]) -> None:
    models = results['models']
    assert {name: (one['control'], tuple(one['segment'])) for name, one in models.items()} == {
        'mae': (False, ('frozen', 'fine-tuned')),
        'random:mae': (True, ('frozen', 'fine-tuned')),
        'majority class': (True, ('–',)),
        'pixel colours': (True, ('–',)),
    }
    assert results['settings']['protocols'] == ['segment']
    assert results['data']['tile'] == SIDE
    assert results['data']['classes'] == ['ground', 'roof']
    for model in models.values():
        for found in model['segment'].values():
            low, high = found['miou']['interval']
            assert low <= found['miou']['score'] <= high
            assert np.sum(found['confusion']) == 3 * SIDE**2
            each = [found['iou'][name]['score'] for name in ('ground', 'roof')]
            assert found['miou']['score'] == pytest.approx(np.mean(each))
            for curve in found['scales'].values():
                assert curve['scales'] == [0.125, 0.5, 1.0]
                assert curve['score'][-1] == found['miou']['score']
    assert models['pixel colours']['segment']['–']['miou']['score'] > 0.95
    share = results['data']['shares']['test']['ground']
    constant = models['majority class']['segment']['–']
    assert constant['iou']['ground']['score'] == pytest.approx(share, abs=1e-12)
    assert constant['iou']['roof']['score'] == 0


def test_compared_with_random_weights_and_what_needs_no_network(results: dict[str, Any]) -> None:
    pairs = [(one['way'], one['control'], one['control_way']) for one in results['comparisons']]
    assert pairs == [
        ('frozen', 'random:mae', 'frozen'),
        ('frozen', 'pixel colours', '–'),
        ('fine-tuned', 'random:mae', 'fine-tuned'),
        ('fine-tuned', 'pixel colours', '–'),
    ]
    own, other = (results['models'][name]['segment'] for name in ('mae', 'random:mae'))
    difference = own['frozen']['miou']['score'] - other['frozen']['miou']['score']
    assert results['comparisons'][0]['score'] == pytest.approx(difference)


def test_how_they_were_trained(results: dict[str, Any], report: Path, scenes: Path) -> None:
    """The weights that are kept are those that were measured."""
    ways = results['models']['mae']['segment']
    trained = {way: ways[way]['training'] for way in ('frozen', 'fine-tuned')}
    assert all(one['epochs'] == 2 and one['lr'] == 0.003 for one in trained.values())
    assert trained['frozen']['trained_parameters'] < trained['fine-tuned']['trained_parameters']
    # Of PNG there are no maps.
    told = f'xscale predict {report}/models/0_mae_frozen.ckpt GEOTIFFS --out {report}-maps'
    assert trained['frozen']['predict'] == told
    predictor = load_predictor(report / trained['fine-tuned']['checkpoint'])
    assert predictor.classes == ('ground', 'roof')
    tiles = Tiles(open_masked(scenes), SIDE)
    batch = next(tiles.batches(Tuning()))
    answer = predictor(batch['image'], batch['gsd'], batch['valid']).argmax(1)
    pixels = pixels_of(confusions(answer, batch['mask'], 2).sum(0))
    assert float(mean_iou(pixels)) == pytest.approx(ways['fine-tuned']['miou']['score'], abs=1e-9)


def test_the_page_stands_alone(report: Path) -> None:
    page = (report / 'report.html').read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert '<script' not in page
    pictures = sorted(path.name for path in (report / 'figures').glob('*.png'))
    assert pictures == ['at_scales.png', 'miou.png', 'overlays_0.png']
    assert page.count('data:image/png;base64,') == len(pictures)
    for said in (
        'Segmentation',
        'random:mae',
        'pixel colours',
        'IoU roof',
        'of mIoU at full scale',
        'tiles',
    ):
        assert said in page
    assert 'kNN-20' not in page


def test_same_weights_same_answers(scenes: Path, tmp_path: Path) -> None:
    """Head, batches and seed are the same for all: what is at random does as well as itself."""
    path, out = write_checkpoint(tmp_path / 'at_random'), tmp_path / 'out'
    flags = ['--out', str(out), '--scales', '100', *QUICK, '--epochs', '1', '--protocol', 'segment']
    assert main(['evaluate', str(path), str(scenes), *flags]) == 0
    found = json.loads((out / 'results.json').read_text())
    own, other = (found['models'][name]['segment'] for name in ('at_random', 'random:at_random'))
    for way in ('frozen', 'fine-tuned'):
        assert own[way]['confusion'] == other[way]['confusion']
    same = [one for one in found['comparisons'] if one['control'].startswith('random')]
    assert all(one['interval'] == [0, 0] for one in same)
    page = (out / 'report.html').read_text()
    assert 'at_random, frozen, is not told apart from random:at_random, frozen' in page


def test_stopped_in_the_middle(
    checkpoint: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report that is there stays whole, and no other is begun."""
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'report.html').write_text('whole')

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Segmentation, 'training_step', stop)
    assert main(['evaluate', str(checkpoint), str(scenes), '--out', str(out), *QUICK]) == 130
    assert [path.name for path in out.iterdir()] == ['report.html']


def no_test(folder: Path) -> None:
    shutil.rmtree(folder / 'test')


def no_masks(folder: Path) -> None:
    for split in ('train', 'test'):
        shutil.rmtree(folder / split / 'masks')


def one_class(folder: Path) -> None:
    for path in (folder / 'train' / 'masks').iterdir():
        Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(path)


@pytest.mark.parametrize(
    ('spoil', 'flags', 'said'),
    [
        (no_test, (), 'no images in test (train 8)'),
        (no_masks, (), 'holds no folder masks beside images'),
        (one_class, (), 'masks of train hold only ground of the classes ground, roof'),
        (None, ('--protocol', 'knn,segment'), 'knn needs one label an image'),
        (None, ('--protocol', 'knn'), 'with these goes segment alone'),
        (None, ('--tile', '50'), '48 would (--tile 48)'),
        (None, ('--scales', '0.5'), 'is no pixel'),
        (None, ('--epochs', '0'), '--epochs 0'),
        (None, ('--lr', '-1'), 'lr -1'),
        (None, ('--bands', 'nir'), 'nir'),
        (None, ('--sensor', 'moon'), "unknown sensor 'moon'"),
        (None, ('--classes', 'ground'), '1 classes'),
        (None, ('--classes', '1:roof,1:ground'), '--classes: a value comes twice'),
        (None, ('--classes', '7:roof,9:ground'), 'the classes are 7 roof, 9 ground'),
    ],
)
def test_what_cannot_be_used(
    spoil: Any,
    flags: tuple[str, ...],
    said: str,
    checkpoint: Path,
    scenes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is trained, and nothing written."""
    monkeypatch.setattr('xscale.tuning.segmenting.train', None)
    folder = shutil.copytree(scenes, tmp_path / 'copy') if spoil else scenes
    if spoil:
        spoil(folder)
    out = tmp_path / 'out'
    assert main(['evaluate', str(checkpoint), str(folder), '--out', str(out), *flags]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert not out.exists()


def test_encoders_that_cannot_be_trained(scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['evaluate', 'torchgeo:resnet18', str(scenes)]) == 2
    assert "TorchGeo's models are measured frozen only" in capsys.readouterr().err


def test_a_model_of_other_units_or_bands(
    scenes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Units are doubted, bands refused, before anything is trained."""
    monkeypatch.setattr('xscale.tuning.segmenting.train', None)
    path = write_checkpoint(tmp_path / 'bands', bands=['red', 'green', 'nir'])
    assert main(['evaluate', str(path), str(scenes), '--out', str(tmp_path / 'out')]) == 2
    assert 'trained on red, green, nir' in capsys.readouterr().err
    path = write_checkpoint(tmp_path / 'units', mean=[2000.0] * 3, std=[600.0] * 3)
    with pytest.raises(TypeError):
        main(['evaluate', str(path), str(scenes), '--out', str(tmp_path / 'out')])
    assert 'chance' in capsys.readouterr().err


def test_which_folders_hold_masks(tmp_path: Path, scenes: Path) -> None:
    assert is_masked(scenes)
    assert is_masked(write_masked(tmp_path / 'flat', ('',)))
    assert not is_masked(tmp_path / 'none')
    (tmp_path / 'classes' / 'train' / 'images').mkdir(parents=True)
    (tmp_path / 'classes' / 'train' / 'forest').mkdir()
    assert not is_masked(tmp_path / 'classes')


def test_sides_of_tiles(scenes: Path, tmp_path: Path) -> None:
    data = open_masked(scenes)
    assert choose_tile(data, None, [16]) == SIDE
    assert choose_tile(data, None, [16, 14]) == 112
    assert choose_tile(data, 96, [16]) == 96
    with pytest.raises(ConfigError, match='does not divide into patches of 112 px; 112 would'):
        choose_tile(data, 96, [16, 14])


def test_metres_per_pixel_have_to_be_known_of_training_images_too(tmp_path: Path) -> None:
    folder = write_masked(tmp_path / 'data', ('train', 'test'))
    assert Tiles(open_masked(folder), 32).known
    for split in ('images', 'masks'):
        path = folder / 'train' / split / '0.tif'
        with rasterio.open(path) as source:
            values = source.read()
        path.unlink()
        write_png(path.with_suffix('.png'), np.moveaxis(values, 0, -1).squeeze())
    tiles = Tiles(open_masked(folder), 32)
    assert not tiles.known
    assert tiles.gsd is None


def test_classes_of_one_split_alone(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / 'data', 2, 2)
    (folder / 'classes.txt').write_text('0: ground\n1: roof\n2: road\n')
    assert Tiles(open_masked(folder), SIDE).warnings == []
    mask = np.full((SIDE, SIDE), 2, np.uint8)
    mask[: SIDE // 2] = 0
    for path in (folder / 'test' / 'masks').iterdir():
        write_png(path, mask)
    first, second = Tiles(open_masked(folder), SIDE).warnings
    told = 'no pixel of train that was looked at is of road (50.0% of those of test)'
    assert first.startswith(told)
    told = 'no pixel of test that was looked at is of roof (25.0% of those of train)'
    assert second.startswith(told)


def test_polygons(checkpoint: Path, tmp_path: Path) -> None:
    """They stand in the place of masks; the middles of images are drawn, whatever their sides."""
    folder = write_masked(tmp_path / 'data', ('train', 'test'))
    shapes = [box(grid_of(number), 5, 5, 20, 15) for number in range(4)]
    polygons = write_polygons(tmp_path / 'roofs.geojson', shapes, crs='EPSG:32633')
    out = tmp_path / 'out'
    flags = ['--polygons', str(polygons), '--out', str(out), '--scales', '100', '--decoder']
    flags += ['linear', '--epochs', '1', '--bootstrap', '20', '--tile', '32']
    assert main(['evaluate', str(checkpoint), str(folder), *flags]) == 0
    found = json.loads((out / 'results.json').read_text())
    told = found['models']['mae']['segment']['frozen']['training']['predict']
    assert str(folder / 'test' / 'images') in told
    assert found['data']['gsd'] == pytest.approx(0.5, rel=1e-3)
    assert found['data']['tiles'] == {'train': 4, 'test': 4}
    share = found['data']['shares']['test']['background']
    assert share == pytest.approx(1 - 20 * 15 / (40 * 30))


def test_images_without_a_place_have_no_maps(tmp_path: Path) -> None:
    folder, out = tmp_path / 'data', tmp_path / 'out'
    for number, split in enumerate(('train', 'test')):
        write_pair(folder / split, '0', number, crs=None)
    flags = ['--decoder', 'linear', '--epochs', '1', '--bootstrap', '20', '--scales', '100']
    assert main(['evaluate', 'random:test_vit', str(folder), '--out', str(out), *flags]) == 0
    found = json.loads((out / 'results.json').read_text())
    ways = found['models']['random:test_vit']['segment']
    assert ' GEOTIFFS ' in ways['frozen']['training']['predict']


def test_ground_that_is_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = write_masked(tmp_path / 'data', ('train', 'test')), tmp_path / 'out'
    for kind in ('images', 'masks'):
        shutil.copy(folder / 'train' / kind / '0.tif', folder / 'test' / kind / '1.tif')
    flags = ['--decoder', 'linear', '--epochs', '1', '--bootstrap', '20', '--scales', '100']
    assert main(['evaluate', 'random:test_vit', str(folder), '--out', str(out), *flags]) == 0
    told = '1 of 2 test images show ground that images of train show too'
    assert f'warning: {told}' in capsys.readouterr().err
    assert json.loads((out / 'results.json').read_text())['data']['warnings'][0].startswith(told)
    assert told in (out / 'report.html').read_text()


@pytest.mark.parametrize('kind', [Segmentation, Classification])
def test_heads_begin_alike_whatever_was_drawn_for_the_encoder(kind: Any, checkpoint: Path) -> None:
    options = {'decoder_channels': 8} if kind is Segmentation else {}
    starts: list[dict[str, Any]] = [{'weights': str(checkpoint)}]
    starts += [{'model': 'test_vit', 'in_channels': bands} for bands in (3, 5)]
    first, *others = (
        build(kind, 0, num_classes=2, **options, **start).head.state_dict() for start in starts
    )
    for other in others:
        assert all(torch.equal(other[key], tensor) for key, tensor in first.items())
