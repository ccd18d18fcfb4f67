"""The recipes of benchmarks: each command that a file tells runs a step on data of that layout."""

import csv
import itertools
import pkgutil
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor
from torchgeo.main import main as torchgeo_main

from xscale.cli import main
from xscale.datamodules import ISPRSDataModule
from xscale.errors import ConfigError
from xscale.recipes import ROOT
from xscale.tasks import Segmentation
from xscale.tasks.fed import Fed

from ..data.bigearthnet import data as bigearthnet
from ..data.chesapeake import data as chesapeake
from ..data.eurosat import data as eurosat
from ..data.fmow.data import write as write_fmow
from ..data.geobench.data import write_task
from ..data.isprs import data as isprs
from ..data.landcoverai import data as landcoverai
from ..data.resisc45 import data as resisc45
from ..data.so2sat import data as so2sat
from ..data.spacenet1 import data as spacenet1
from ..data.ucmerced import data as ucmerced
from .scenes import write_checkpoint

pytestmark = pytest.mark.filterwarnings(
    'ignore:.*args parameter is intended',
    'ignore:.*smaller than the logging interval',
    'ignore:.*does not have many workers',
    # Tiny images of one value look like no sensor's.
    'ignore:.*cannot be in the units of.*',
    'ignore:.*the encoder is given images',
    'ignore:.*No positive samples found in target.*',
    # What TorchGeo calls of pandas and shapely.
    'ignore::DeprecationWarning:torchgeo.*',
)

FOLDER = ROOT / 'tasks' / 'benchmark'
FILES = sorted(str(path.relative_to(FOLDER))[:-5] for path in FOLDER.rglob('*.yaml'))

#: What stands in the place of fine-tuning.
OTHER = {'classify': 'linear', 'segment': 'frozen'}

#: Names of the visible bands that TorchGeo's files have otherwise.
NUMBERED = {'red': 'B04', 'green': 'B03', 'blue': 'B02'}

WRITERS: dict[str, Callable[[Path], Any]] = {
    'eurosat': eurosat.write,
    'ucmerced': ucmerced.write,
    'resisc45': resisc45.write,
    'bigearthnet': bigearthnet.write,
    'so2sat': so2sat.write,
    'fmow': write_fmow,
    'potsdam': isprs.write_potsdam,
    'vaihingen': isprs.write_vaihingen,
    'spacenet1': spacenet1.write,
    'landcoverai': landcoverai.write,
    'chesapeake': chesapeake.write,
}

#: Sensor, kind of label and number of classes of the tasks of GEO-Bench.
GEOBENCH = {
    'm-eurosat': ('Sentinel2', 'Classification', 10),
    'm-bigearthnet': ('Sentinel2', 'MultiLabelClassification', 43),
    'm-so2sat': ('Sentinel2', 'Classification', 17),
    'm-brick-kiln': ('Sentinel2', 'Classification', 2),
    'm-forestnet': ('Landsat8', 'Classification', 12),
    'm-pv4ger': ('SpectralBand', 'Classification', 2),
    'm-pv4ger-seg': ('SpectralBand', 'SegmentationClasses', 2),
    'm-nz-cattle': ('SpectralBand', 'SegmentationClasses', 2),
    'm-NeonTree': ('SpectralBand', 'SegmentationClasses', 2),
    'm-cashew-plant': ('Sentinel2', 'SegmentationClasses', 7),
    'm-SA-crop-type': ('Sentinel2', 'SegmentationClasses', 10),
    'm-chesapeake': ('SpectralBand', 'SegmentationClasses', 7),
}

#: What a pixel of each band is in the files, and metres per pixel.
TRUE: dict[str, tuple[dict[str, Any], float]] = {
    'eurosat': (eurosat.VALUES, 10),
    'ucmerced': (ucmerced.VALUES, 0.3048),
    'resisc45': (resisc45.VALUES, 1),
    'bigearthnet': (bigearthnet.VALUES, 10),
    'so2sat': (so2sat.VALUES, 10),
    'potsdam': (isprs.POTSDAM, 0.05),
    # As the papers take near infrared, red and green.
    'vaihingen': ({'red': 200, 'green': 40, 'blue': 90}, 0.09),
    'spacenet1': (spacenet1.VALUES, 0.5),
    'landcoverai': (landcoverai.VALUES, 0.25),
    'chesapeake': (chesapeake.VALUES, 1),
}

#: Settings for data this small, and for sums that are not theirs.
SMALL = {
    'bigearthnet': ['--data.dict_kwargs.download', 'false'],
    'so2sat': ['--data.dict_kwargs.checksum', 'false'],
    'fmow': ['--data.tile_size', '32'],
    'potsdam': ['--data.tile_size', '32'],
    'vaihingen': ['--data.tile_size', '32'],
    'chesapeake': ['--data.patch_size', '32'],
}

#: Data modules that standardise by themselves, which is left to them.
STANDARDISED = ('eurosat', 'so2sat')

type Found = list[tuple[Tensor, Tensor, Tensor, str]]


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write the data of a benchmark, once."""
    made: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in made:
            made[name] = root = tmp_path_factory.mktemp('data') / Path(name).name
            if name.startswith('geobench/'):
                sensor, label, classes = GEOBENCH[root.name]
                write_task(root, sensor, label, classes)
            else:
                WRITERS[name](root)
        return made[name] / 'rgb' if name == 'fmow' else made[name]

    return write


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that knows red, green and blue."""
    return write_checkpoint(tmp_path_factory.mktemp('weights') / 'encoder.ckpt')


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> Found:
    """Images of validation as the encoder gets them, and by whose statistics it normalises them.

    Between the two are metres per pixel, and where there is data.
    """
    found: Found = []
    prepared = Fed.prepared

    def spy(self: Fed, batch: Any) -> Any:
        result = prepared(self, batch)
        # Training is augmented.
        if not self.trainer.training:
            found.append((*result, self.features.sensors[0].name))
        return result

    monkeypatch.setattr(Fed, 'prepared', spy)
    return found


def command_of(name: str) -> list[str]:
    """Return the command that stands on top of a file."""
    lines = (FOLDER / f'{name}.yaml').read_text().splitlines()
    told = ' '.join(line[4:].rstrip('\\') for line in lines if line.startswith('#   '))
    program, *args = shlex.split(told)
    assert program == 'xscale'
    assert f'tasks/benchmark/{name}.yaml' in args
    return args


def arguments(name: str, recipe: str, root: Path, weights: Path, out: Path) -> list[str]:
    """Return the command of a benchmark for a step on tiny data."""
    places = {'DIR': str(root), 'CKPT': str(weights)}
    args = [places.get(arg, arg) for arg in command_of(name)]
    args = [arg.replace('/finetune.yaml', f'/{recipe}.yaml') for arg in args]
    args += ['--data.batch_size', '2', '--data.num_workers', '0', *SMALL.get(name, [])]
    if name.startswith('geobench'):
        segments = args[2].startswith('tasks/segment')
        args += ['--data.tile_size' if segments else '--data.size', '32']
    if args[2].startswith('tasks/segment'):
        args += ['--model.decoder_channels', '8']
    for limit in ('max_epochs', 'limit_train_batches', 'limit_val_batches'):
        args += [f'--trainer.{limit}', '1']
    args += ['--trainer.num_sanity_val_steps', '0', '--trainer.enable_progress_bar', 'false']
    args += ['--trainer.accelerator', 'cpu', '--trainer.callbacks', 'null']
    args += ['--trainer.enable_checkpointing', 'false', '--trainer.enable_model_summary', 'false']
    args += ['--trainer.logger', 'CSVLogger', '--trainer.logger.save_dir', str(out)]
    return [*args, '--trainer.default_root_dir', str(out)]


def validated(out: Path) -> dict[str, str]:
    """Return the line of validation."""
    (path,) = out.rglob('metrics.csv')
    with path.open(newline='') as file:
        (row,) = (row for row in csv.DictReader(file) if row.get('val_loss'))
    return {name: value for name, value in row.items() if name.startswith('val_')}


@pytest.mark.parametrize('name', FILES)
def test_runs_a_step(name: str, data: Any, weights: Path, fed: Found, tmp_path: Path) -> None:
    """The encoder gets the bands it knows, in the files' units, and their metres per pixel."""
    assert main(arguments(name, 'finetune', data(name), weights, tmp_path)) == 0
    assert torch.tensor(float(validated(tmp_path)['val_loss'])).isfinite()
    image, gsd, valid, by_whom = fed[0]
    if name in TRUE:
        values, metres = TRUE[name]
        seen = [band[valid[:, 0]] for band in image.movedim(1, 0)]
        for band, (common, number) in zip(seen, NUMBERED.items(), strict=True):
            expected = values.get(common, values.get(number))
            # What is padded is 0.
            middle = band[band.abs() > 1e-3 * expected].median().item()
            assert middle == pytest.approx(expected, rel=0.02), common
        assert gsd.tolist() == pytest.approx([metres] * len(gsd))
        own = name in STANDARDISED
        assert by_whom == ('as the data module normalises' if own else 'aerial')


@pytest.mark.parametrize('name', ['bigearthnet', 'landcoverai'])
def test_both_command_lines_say_the_same(
    name: str, data: Any, weights: Path, tmp_path: Path
) -> None:
    """With what stands in the place of fine-tuning: a linear probe, or a frozen encoder."""
    task = command_of(name)[2].split('/')[1]
    said = []
    for run in (main, torchgeo_main):
        out = tmp_path / run.__module__
        args = arguments(name, OTHER[task], data(name), weights, out)
        # TorchGeo's finds no recipes that ship with us by their name.
        run([str(ROOT / arg) if arg.endswith('.yaml') else arg for arg in args])
        said.append(validated(out))
    assert said[0] == said[1]


@pytest.mark.parametrize('name', ['eurosat', 'bigearthnet', 'so2sat', 'potsdam', 'chesapeake'])
def test_bands_are_named_in_the_order_of_the_files(name: str, data: Any) -> None:
    config = yaml.safe_load((ROOT / 'datasets' / f'{name}.yaml').read_text())['data']
    settings = {**config['init_args'], **config.get('dict_kwargs', {})}
    settings |= {'root': str(data(name)), 'num_workers': 0, 'batch_size': 1}
    for flag, value in itertools.batched(SMALL.get(name, []), 2):
        settings[flag.rpartition('.')[2]] = yaml.safe_load(value)
    module = pkgutil.resolve_name(config['class_path'])(**settings)
    module.setup('fit')
    told = yaml.safe_load((FOLDER / f'{name}.yaml').read_text())['model']['init_args'].get('bands')
    bands = told or module.contract['bands']
    (image,) = next(iter(module.val_dataloader()))['image']
    found = image.flatten(1).median(dim=1).values.tolist()
    values = TRUE[name][0]
    assert found == pytest.approx([values[band] for band in bands])
    assert len(bands) == len(values)


@pytest.mark.parametrize('name', ['potsdam', 'vaihingen'])
def test_the_isprs_count_each_pixel_of_validation_once(name: str, data: Any) -> None:
    """By their colours, whatever the sizes of the images."""
    module = ISPRSDataModule(name, str(data(name)), tile_size=48, val_share=0.5, batch_size=1)
    module.setup('validate')
    assert module.val_dataset is not None
    (scene,) = module.val_dataset.scenes
    width, height = scene.image.grid[:2]
    counts = torch.zeros(7, dtype=torch.int64)
    for sample in module.val_dataset:
        counts += torch.bincount(sample['mask'].clamp(max=6).flatten(), minlength=7)
    expected = torch.from_numpy(isprs.labels(height, width)).long().flatten().bincount(minlength=6)
    assert counts[:6].tolist() == expected.tolist()
    assert module.classes[0] == 'Clutter/background'
    if name == 'vaihingen':
        assert module.contract['bands'] == ['nir', 'red', 'green']


def test_what_lies_outside_of_a_tile_does_not_count(weights: Path) -> None:
    """Nor does what is no data."""
    config = yaml.safe_load((FOLDER / 'chesapeake.yaml').read_text())['model']['init_args']
    task = Segmentation(weights=str(weights), decoder_channels=8, **config)
    mask = torch.tensor([[[0, 15, 1, 6]]])
    batch = {'image': torch.ones(1, 4, 1, 4), 'mask': mask}
    assert task.checked(batch, 0)['mask'].tolist() == [[[0, 0, 1, 6]]]
    task.val_metrics.update(torch.tensor([[[1, 1, 1, 5]]]), task.checked(batch, 0)['mask'])
    # Water is right, roads are impervious surfaces: one of three classes that are there or said.
    found = task.val_metrics.compute()['val_AverageJaccardIndex']
    assert float(found) == pytest.approx(1 / 3)
    assert mask.tolist() == [[[0, 15, 1, 6]]]


def test_the_isprs_are_asked_for_where_they_are_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='5_Labels_all'):
        ISPRSDataModule('potsdam', str(tmp_path)).setup('fit')


@pytest.mark.parametrize('name', sorted({Path(name).parts[0] for name in FILES} - {'fmow'}))
def test_has_a_card(name: str) -> None:
    """With what one needs to know, and named by its recipes."""
    card = (ROOT / 'datasets' / 'cards' / f'{name}.md').read_text()
    headings = ('Source.', 'Licence.', 'Bands', 'GSD.', 'Units.', 'Classes', 'How to get it.')
    for heading in (*headings, 'Layout.', 'Recipe.'):
        assert heading in card, heading
    paths = [*FOLDER.rglob(f'{name}*.yaml'), *FOLDER.rglob(f'{name}/*.yaml')]
    for path in paths:
        assert f'datasets/cards/{name}.md' in path.read_text()
    assert f'tasks/benchmark/{name}' in card
