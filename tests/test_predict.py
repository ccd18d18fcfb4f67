"""``xscale predict``: through the command line, with a stand-in for the trained model."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from xscale import tasks
from xscale.cli import main

from .data.stack.data import write_raster
from .inference.standins import Pointwise
from .tasks.scenes import OurScenes, Scenes
from .tasks.test_downstream import fit

RGB = ('red', 'green', 'blue')


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, (3, 70, 90), dtype=np.uint8)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Pointwise:
    """Stand in for what a checkpoint holds."""
    made = Pointwise(RGB)
    monkeypatch.setattr(tasks, 'load_predictor', lambda path: made.eval())
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two rasters, one in a folder below."""
    for number, name in enumerate(('a.tif', 'sub/b.tif')):
        write_raster(tmp_path / 'in' / name, pixels(number), names=RGB)
    return tmp_path / 'in'


def predict(folder: Path, *flags: object, status: int = 0) -> Path:
    out = folder.parent / 'maps'
    command = ['predict', 'x.ckpt', folder, '--out', out, '--device', 'cpu', *flags]
    assert main(list(map(str, command))) == status
    return out


def files(out: Path) -> list[str]:
    """List everything in a folder, hidden files too."""
    return sorted(
        os.path.relpath(os.path.join(top, name), out)
        for top, _, names in os.walk(out)
        for name in names
    )


def test_a_map_for_each_raster(
    folder: Path, model: Pointwise, capsys: pytest.CaptureFixture[str]
) -> None:
    out = predict(folder)
    assert files(out) == ['a.tif', 'sub/b.tif']
    for number, name in enumerate(('a.tif', 'sub/b.tif')):
        with rasterio.open(out / name) as source, rasterio.open(folder / name) as raster:
            np.testing.assert_array_equal(source.read(1), model.directly(pixels(number)).argmax(0))
            assert source.transform == raster.transform
            assert source.crs == raster.crs
            tags = source.tags()
        assert json.loads(tags['XSCALE_CLASSES']) == list(model.classes)
        assert tags['XSCALE_SOURCE'] == Path(name).name
        assert float(tags['XSCALE_GSD']) == 10
        assert len(tags['XSCALE_MODEL']) == 32
    assert f'written: {out / "a.tif"}' in capsys.readouterr().out


def test_finished_maps_are_kept(
    folder: Path, model: Pointwise, capsys: pytest.CaptureFixture[str]
) -> None:
    out = predict(folder)
    (out / 'a.tif').unlink()
    kept = (out / 'sub/b.tif').stat().st_mtime_ns
    model.asked = 0
    predict(folder)
    half = model.asked
    assert files(out) == ['a.tif', 'sub/b.tif']
    assert (out / 'sub/b.tif').stat().st_mtime_ns == kept
    assert f'kept: {out / "sub/b.tif"}\n' in capsys.readouterr().out
    predict(folder, '--overwrite')
    assert model.asked == half + 2 * (half - 1) + 1
    assert (out / 'sub/b.tif').stat().st_mtime_ns > kept
    predict(folder, '--gsd', 30)
    assert 'at 10.0 m and not 30.0 m; --overwrite' in capsys.readouterr().out
    # Another model's are kept as well, and named.
    model.table.data += 1
    predict(folder)
    assert 'which this model did not make; --overwrite replaces it' in capsys.readouterr().out


def test_maps_among_the_rasters_are_no_rasters(folder: Path, model: Pointwise) -> None:
    out = folder / 'maps'
    for _ in range(2):
        assert main(['predict', 'x', str(folder), '--out', str(out), '--overwrite']) == 0
    assert files(out) == ['a.tif', 'sub/b.tif']


def test_one_bad_raster_does_not_stop_the_others(
    folder: Path, model: Pointwise, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / 'bad.tif').write_text('no raster')
    out = predict(folder, status=2)
    assert files(out) == ['a.tif', 'sub/b.tif']
    assert f'{folder}/bad.tif: is not a raster' in capsys.readouterr().err


def test_a_raster_that_breaks_while_it_is_read(
    folder: Path,
    model: Pointwise,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from xscale.inference.predict import Mapper

    write = Mapper.write

    def remove(self: Mapper, row: dict, *rest: object) -> None:
        if row['filepath'].endswith('a.tif'):
            os.remove(row['filepath'])
        write(self, row, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Mapper, 'write', remove)
    out = predict(folder, status=2)
    assert files(out) == ['sub/b.tif']
    assert f'{folder}/a.tif: cannot read' in capsys.readouterr().err


@pytest.mark.parametrize(('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_nothing_is_left_by_a_signal(
    folder: Path, model: Pointwise, number: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, handler = Pointwise.logits, signal.getsignal(number)

    def stopped(self: Pointwise, image: torch.Tensor) -> torch.Tensor:
        # The first question is a trial, the second about the first raster, the third the second's.
        if self.asked > len(image) + 1:
            os.kill(os.getpid(), number)
        return answer(self, image)

    monkeypatch.setattr(Pointwise, 'logits', stopped)
    out = predict(folder, status=status)
    assert files(out) == ['a.tif']
    assert signal.getsignal(number) == handler


def test_probabilities_beside_classes(folder: Path, model: Pointwise) -> None:
    predict(folder)
    out = predict(folder, '--probabilities')
    assert files(out) == ['a.tif', 'a_probabilities.tif', 'sub/b.tif', 'sub/b_probabilities.tif']
    with rasterio.open(out / 'a_probabilities.tif') as source:
        assert source.descriptions == model.classes
        found = source.read() * source.scales[0]
    np.testing.assert_allclose(found, model.directly(pixels(0)), atol=0.0021)


def test_in_less_precision(folder: Path, model: Pointwise, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, kinds = Pointwise.logits, set()

    def noted(self: Pointwise, image: torch.Tensor) -> torch.Tensor:
        kinds.add((image.dtype, (logits := answer(self, image)).dtype))
        return logits

    monkeypatch.setattr(Pointwise, 'logits', noted)
    out = predict(folder, '--precision', 'bf16-mixed', '--probabilities', 'float32')
    assert kinds == {(torch.float32, torch.bfloat16)}
    with rasterio.open(out / 'a_probabilities.tif') as source:
        difference = np.abs(source.read() - model.directly(pixels(0)))
    assert 1e-4 < difference.max() < 0.05


def test_at_another_gsd_and_with_other_bands(folder: Path, model: Pointwise) -> None:
    out = predict(folder, '--gsd', 20, '--bands', '3,2,1', '--size', 16, '--overlap', 0.5)
    with rasterio.open(out / 'a.tif') as source:
        assert source.res == (20, 20)
        assert source.shape == (35, 45)
        found = source.read(1)
    turned = pixels(0)[::-1].reshape(3, 35, 2, 45, 2).mean((2, 4))
    # Means are rounded where the file's values are bytes.
    assert (found == model.directly(turned).argmax(0)).mean() > 0.97
    assert model.gsds == {20}


def test_a_gsd_it_was_not_trained_on(
    folder: Path, model: Pointwise, capsys: pytest.CaptureFixture[str]
) -> None:
    model.gsd = (0.1, 0.3)
    predict(folder)
    assert 'at 10 m, are at a GSD the model was not trained on (0.1 to 0.3 m)' in (
        capsys.readouterr().err
    )
    model.gsd = (8, 20)
    predict(folder, '--overwrite')
    assert 'trained' not in capsys.readouterr().err


def test_values_in_other_units(
    folder: Path, model: Pointwise, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {'name': 'camera', 'bands': RGB, 'mean': [128] * 3, 'std': [70] * 3}
    share = {'name': 'share', 'bands': RGB, 'mean': [0.5] * 3, 'std': [0.25] * 3}
    model.contract = {'sensors': [share]}
    predict(folder)
    assert 'cannot be in the units of share' in capsys.readouterr().err
    model.contract = {'sensors': [share, own]}
    predict(folder, '--overwrite')
    assert 'units' not in capsys.readouterr().err


@pytest.mark.parametrize(
    ('flags', 'words'),
    [
        (['--size', '30'], 'patches of 8 px'),
        (['--overlap', '1'], '--overlap 1: a share of the window'),
        (['--gsd', '0'], 'metres per pixel above 0'),
        (['--bands', '1,2'], 'one for each band of the model is needed, in its order: red, green'),
        (['--bands', 'red,green,nir'], 'no band nir'),
        (['--batch-size', '0'], '1 or more is needed'),
        (['--precision', '64-true'], "unknown precision '64-true'"),
        (['--gsd', '5000'], 'less than one pixel of 5000 m'),
    ],
)
def test_what_cannot_be_used(
    folder: Path,
    model: Pointwise,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    words: str,
) -> None:
    out = predict(folder, *flags, status=2)
    assert words in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize('name', ['', 'sub', 'sub/b.tif'])
def test_out_that_holds_the_rasters(
    name: str, folder: Path, model: Pointwise, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(folder)
    assert main(['predict', 'x.ckpt', str(folder / name), '--out', str(folder)]) == 2
    said = f'{folder / name} lies in --out {folder}, and what lies there is taken for maps'
    assert said in capsys.readouterr().err
    assert files(folder) == before


def test_out_that_is_a_file(
    folder: Path, model: Pointwise, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['predict', 'x', str(folder), '--out', str(folder / 'a.tif')]) == 2
    assert 'a.tif is a file; a folder is needed' in capsys.readouterr().err


def test_yaml_is_for_lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr('xscale.commands.fit.fit', lambda args: given.append(args) or 0)
    for flags in (['-c', 'x.yaml'], ['--config=x.yaml'], ['--model.lr', '1']):
        assert main(['predict', *flags]) == 0
    assert [args[0] for args in given] == ['predict'] * 3


@pytest.mark.filterwarnings('ignore:.*does not have many workers', 'ignore:.*logging interval')
def test_from_a_trained_checkpoint(tmp_path: Path) -> None:
    """The map of a raster of one tile is what the trained model says of its pixels."""
    task = tasks.Segmentation(model='test_vit', num_classes=2, decoder_channels=8, gsd=0.5)
    ckpt = fit(task, OurScenes(), tmp_path)
    values = Scenes('val')[1]['image'].clamp(1, 254).round().to(torch.uint8).numpy()
    write_raster(tmp_path / 'in' / 'roof.tif', values, names=RGB)
    command = ['predict', ckpt, tmp_path / 'in', '--out', tmp_path / 'maps', '--device', 'cpu']
    assert main(list(map(str, command))) == 0
    with rasterio.open(tmp_path / 'maps' / 'roof.tif') as source:
        found = source.read(1)
    image = torch.from_numpy(values)[None].float()
    expected = tasks.load_predictor(ckpt)(image, 10.0)[0].argmax(0).numpy()
    # A rounding may turn a pixel that lies between two classes.
    assert (found == expected).mean() > 0.999
    assert set(np.unique(found)) == set(np.unique(expected))
