"""What classification and segmentation share, through Lightning's trainer."""

import warnings
from pathlib import Path
from typing import Any

import kornia.augmentation as K
import pytest
import torch
import torchgeo.tasks
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

import xscale
from xscale.errors import CheckpointError, ConfigError, NonFiniteError, UnknownNameError
from xscale.models.checkpoint import CONTRACT
from xscale.tasks import Classification, Segmentation, load_predictor

from .scenes import AERIAL, MEAN, RGB, STD, OurScenes, Scenes, TorchGeoScenes, write_checkpoint

pytestmark = pytest.mark.filterwarnings(
    'ignore:.*does not have many workers', 'ignore:.*smaller than the logging interval'
)

KINDS: dict[type, dict[str, Any]] = {
    Classification: {'num_classes': 2},
    Segmentation: {'num_classes': 2, 'decoder_channels': 8},
}


def build(kind: type, **options: Any) -> Any:
    model = {} if options.get('weights') else {'model': 'test_vit'}
    return kind(**KINDS[kind] | model | options)


def trainer(folder: Path, *callbacks: Callback, **options: Any) -> Trainer:
    settings: dict[str, Any] = {
        'max_epochs': 1,
        'default_root_dir': folder,
        'logger': False,
        'enable_checkpointing': False,
        'enable_progress_bar': False,
        'enable_model_summary': False,
        'accelerator': 'cpu',
        'num_sanity_val_steps': 0,
        'callbacks': list(callbacks),
    }
    return Trainer(**settings | options)


def fit(task: Any, data: Any, folder: Path, **options: Any) -> Path:
    """Train and return the checkpoint."""
    run = trainer(folder, **options)
    run.fit(task, datamodule=data)
    run.save_checkpoint(folder / 'last.ckpt')
    return folder / 'last.ckpt'


def raw() -> dict[str, Tensor]:
    """Return the validation batch in the files' units."""
    scenes = Scenes('val')
    return default_collate([scenes[i] for i in range(4)])


@pytest.fixture
def ckpt(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / 'encoder.ckpt')


@pytest.mark.parametrize('data', [OurScenes, TorchGeoScenes])
@pytest.mark.parametrize('kind', KINDS)
def test_frozen_features_are_those_of_load(
    kind: type, data: type[LightningDataModule], tmp_path: Path
) -> None:
    """In files' units or normalised by the data module, the encoder is given the same pixels."""
    ckpt = write_checkpoint(tmp_path / 'encoder.ckpt', position='gsd')
    task = build(kind, weights=str(ckpt), train='linear', normalize='contract')
    seen: list[Any] = []
    task.head.norm.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    trainer(tmp_path).validate(task, datamodule=data(), verbose=False)
    batch = raw()
    features = xscale.load(ckpt)(batch['image'], batch['gsd'])
    expected = features.pooled if kind is Classification else features.tokens
    found = seen[0] if kind is Classification else seen[0].flatten(2).mT
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize('train', ['frozen', 'linear', 'full'])
@pytest.mark.parametrize('kind', KINDS)
def test_a_step_changes_what_is_to_be_trained(
    kind: type, train: str, ckpt: Path, tmp_path: Path
) -> None:
    task = build(kind, weights=str(ckpt), train=train)
    before = {name: tensor.clone() for name, tensor in task.named_parameters()}
    fit(task, OurScenes(), tmp_path, max_steps=1)
    changed = {n for n, t in task.named_parameters() if not torch.equal(t, before[n])}
    wanted = {name for name in before if train == 'full' or name.startswith('head.')}
    assert changed == wanted - {'model.pos_embed'}
    assert task.train().model.training is (train == 'full')
    assert task.head.training


@pytest.mark.parametrize('kind', KINDS)
def test_the_checkpoint(kind: type, ckpt: Path, tmp_path: Path) -> None:
    """TorchGeo's task, ours, the encoder alone and the predictor load it."""
    task = build(kind, weights=str(ckpt))
    path = fit(task, OurScenes(), tmp_path)
    content = torch.load(path, weights_only=True)
    contract = content[CONTRACT]
    assert contract['classes'] == ['ground', 'roof']
    assert contract['task'] == task.kind
    assert (contract['gsd'], contract['size']) == ([0.5, 1.0], 64)
    theirs = torchgeo.tasks.Classification(model='test_vit', weights=str(path), num_classes=2)
    encoder = xscale.load(path)
    for name, tensor in task.model.state_dict().items():
        assert torch.equal(theirs.model.state_dict()[name], tensor), name
        assert torch.equal(encoder.model.state_dict()[name], tensor), name
    batch = raw()
    again = kind.load_from_checkpoint(path)  # type: ignore[attr-defined]
    predictor = load_predictor(path)
    predicted = predictor(batch['image'], batch['gsd'])
    with torch.no_grad(), task.eval().given(batch):
        torch.testing.assert_close(predicted, task(batch['image']))
    with torch.no_grad(), again.eval().given(batch):
        torch.testing.assert_close(predicted, again(batch['image']))
    assert predictor.bands == tuple(RGB)
    assert (predictor.classes, predictor.size, predictor.patch) == (('ground', 'roof'), 64, 16)
    assert predictor.gsd == (0.5, 1.0)
    assert predicted.shape == ((4, 2) if kind is Classification else (4, 2, 64, 64))


def test_what_a_data_module_normalises_is_in_the_checkpoint(tmp_path: Path) -> None:
    """Left alone in training, and done by the predictor for images in the files' units."""
    task = build(Segmentation, train='full')
    path = fit(task, TorchGeoScenes(), tmp_path)
    sensor = task.features.sensors[0]
    assert (sensor.mean, sensor.std) == ((MEAN - 10,) * 3, (STD * 2,) * 3)
    batch = raw()
    normalised = (batch['image'] - (MEAN - 10)) / (STD * 2)
    predicted = load_predictor(path)(batch['image'], batch['gsd'])
    with torch.no_grad(), task.eval().given(batch):
        torch.testing.assert_close(task(normalised), predicted, atol=1e-4, rtol=1e-4)


def test_random_weights_take_the_statistics_of_the_data(tmp_path: Path) -> None:
    task = build(Classification)
    fit(task, OurScenes(), tmp_path, max_steps=1)
    assert task.features.sensors[0].mean == (MEAN,) * 3
    assert task.features.sensors[0].bands == tuple(RGB)


def test_bands_in_another_order_are_found_by_name(ckpt: Path, tmp_path: Path) -> None:
    task = build(Classification, weights=str(ckpt), train='linear')
    data = OurScenes(bands=['blue', 'green', 'red', 'nir'][:3])
    trainer(tmp_path).validate(task, datamodule=data, verbose=False)
    batch = raw()
    with torch.no_grad(), task.given(batch):
        turned = task(batch['image'])
        task.feed.order = None
        torch.testing.assert_close(task(batch['image'].flip(1)), turned)


def test_other_bands_are_an_error(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r'takes 3 bands \(red, green, blue\).* is 4'):
        build(Segmentation, weights=str(ckpt), in_channels=4)
    task = build(Segmentation, weights=str(ckpt))
    with pytest.raises(ConfigError, match='the data have the bands nir, swir, red; the encoder'):
        fit(task, OurScenes(bands=['nir', 'swir', 'red']), tmp_path)
    task = build(Segmentation, in_channels=2)
    with pytest.raises(ConfigError, match=r'the data have 3 bands.*set in_channels: 3'):
        fit(task, OurScenes(), tmp_path)


def test_a_checkpoint_of_several_sensors_needs_a_name(ckpt: Path) -> None:
    content = torch.load(ckpt, weights_only=True)
    content[CONTRACT]['sensors'].append(AERIAL | {'name': 'drone', 'mean': [50.0] * 3})
    torch.save(content, ckpt)
    with pytest.raises(ConfigError, match=r"say which.*'aerial', 'drone'"):
        build(Classification, weights=str(ckpt))
    task = build(Classification, weights=str(ckpt), sensor='drone')
    assert task.features.sensors[0].mean == (50.0,) * 3
    with pytest.raises(UnknownNameError, match='choose one of: aerial, drone'):
        build(Classification, weights=str(ckpt), sensor='satellite')


@pytest.mark.parametrize('kind', KINDS)
def test_metres_reach_the_encoder(kind: type, tmp_path: Path) -> None:
    """From the batch, else from the settings; an encoder that needs them does not go without."""
    weights = str(write_checkpoint(tmp_path / 'gsd.ckpt', position='gsd'))
    # A classifier starts with weights too small to see a difference.
    task = build(kind, weights=weights, train='linear').eval()
    torch.nn.init.normal_(task.head.linear.weight)
    image = raw()['image'][:1].expand(2, -1, -1, -1)
    with torch.no_grad():
        with task.given({'gsd': torch.tensor([0.5, 4.0])}):
            fine, coarse = task(image)
        assert (fine - coarse).abs().max() > 0.01
        with pytest.raises(ConfigError, match=r'2 of 2 images .* set gsd: METRES_PER_PIXEL'):
            task(image)
        task.hparams['gsd'] = 4.0
        torch.testing.assert_close(task(image)[0], coarse)
        with task.given({'gsd': torch.tensor([0.5, torch.nan])}):
            torch.testing.assert_close(task(image), torch.stack([fine, coarse]))


def test_another_number_of_classes_is_an_error(tmp_path: Path) -> None:
    data = OurScenes()
    data.contract['classes'] = ['ground', 'roof', 'road']
    task = build(Segmentation)
    with pytest.raises(ConfigError, match=r'3 classes \(ground, roof, road\).*num_classes: 3'):
        fit(task, data, tmp_path)


def test_the_ground_of_weights_and_data_is_kept(ckpt: Path, tmp_path: Path) -> None:
    content = torch.load(ckpt, weights_only=True)
    content[CONTRACT]['footprints'] = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    torch.save(content, ckpt)
    data = OurScenes()
    data.contract['footprints'] = torch.tensor([[5.0, 6.0, 7.0, 8.0]])
    path = fit(build(Segmentation, weights=str(ckpt)), data, tmp_path, max_steps=1)
    boxes = load_predictor(path).contract['footprints']
    assert boxes.tolist() == [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]


def test_post_norm_weights_stay_what_they_are(tmp_path: Path) -> None:
    """Their blocks are kept where TorchGeo does not look, and are built again."""
    weights = write_checkpoint(tmp_path / 'x.ckpt', block='post_norm', normalize_encoder=False)
    task = build(Classification, weights=str(weights))
    path = fit(task, OurScenes(), tmp_path, max_steps=1)
    state = torch.load(path, weights_only=True)['state_dict']
    assert not any(key.startswith('model.') for key in state)
    batch = raw()
    with torch.no_grad(), task.eval().given(batch):
        torch.testing.assert_close(load_predictor(path)(batch['image'], 1.0), task(batch['image']))


@pytest.mark.parametrize('kind', KINDS)
def test_half_precision(kind: type, tmp_path: Path) -> None:
    """Losses and logits stay in float32."""
    task = build(kind)
    seen: list[Tensor] = []
    task.head.register_forward_hook(lambda module, args, out: seen.append(out))
    fit(task, OurScenes(), tmp_path, max_steps=1, precision='bf16-mixed')
    assert seen[0].dtype == torch.float32
    assert seen[0].isfinite().all()


class StopAfter(Callback):
    """End training after an epoch, as a signal would."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        trainer.should_stop = True


class InOrder(OurScenes):
    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Scenes(), batch_size=self.batch_size)


@pytest.mark.parametrize('kind', KINDS)
def test_goes_on_to_the_bit(kind: type, ckpt: Path, tmp_path: Path) -> None:
    """Stopped after the first of two epochs, with mixed images, drop path and dropout."""
    mixed = {'mixup': 0.8, 'cutmix': 1.0} if kind is Classification else {}
    options = {'weights': str(ckpt), 'drop_path': 0.3, **mixed}
    ends = []
    for stops in (False, True):
        torch.manual_seed(0)
        task = build(kind, **options)
        first = trainer(tmp_path, *([StopAfter()] if stops else []), max_epochs=2)
        first.fit(task, datamodule=InOrder())
        if stops:
            first.save_checkpoint(tmp_path / 'half.ckpt')
            torch.manual_seed(1)
            task = build(kind, **options)
            second = trainer(tmp_path, max_epochs=2)
            second.fit(task, datamodule=InOrder(), ckpt_path=tmp_path / 'half.ckpt')
        ends.append(task.state_dict())
    for name, tensor in ends[0].items():
        assert torch.equal(tensor, ends[1][name]), name


def test_units_that_cannot_be_right_are_doubted(ckpt: Path, tmp_path: Path) -> None:
    content = torch.load(ckpt, weights_only=True)
    content[CONTRACT]['sensors'] = [AERIAL | {'mean': [0.4] * 3, 'std': [0.2] * 3}]
    torch.save(content, ckpt)
    with pytest.warns(UserWarning, match='cannot be in the units of aerial.*dtype: uint8'):
        fit(build(Classification, weights=str(ckpt)), OurScenes(), tmp_path, max_steps=1)
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*units.*')
        task = build(Classification, weights=str(ckpt), dtype='uint8')
        fit(task, OurScenes(), tmp_path, max_steps=1)
    assert task.features.sensors[0].mean == pytest.approx((102.0,) * 3)
    data = TorchGeoScenes()
    small = K.Normalize(mean=torch.tensor(0.0), std=torch.tensor(2550.0))
    data.aug = K.AugmentationSequential(small, data_keys=None, keepdim=True)
    with pytest.warns(UserWarning, match='normalize: contract'):
        fit(build(Classification), data, tmp_path, max_steps=1)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('epochs', [1, 3])
def test_a_training_that_diverges_ends(kind: type, epochs: int, tmp_path: Path) -> None:
    """And weights that are no numbers are never written."""
    mixed = {'mixup': 0.5} if kind is Classification else {}
    task = build(kind, lr=1e30, warmup=0.0, **mixed)
    keep = ModelCheckpoint(tmp_path, save_last=True, every_n_train_steps=1)
    run = trainer(tmp_path, keep, max_epochs=epochs, enable_checkpointing=True)
    with pytest.raises(NonFiniteError, match=r'is (nan|not finite)[^\n]*\n.*\nlower the learning'):
        run.fit(task, datamodule=OurScenes())
    for path in tmp_path.glob('*.ckpt'):
        state = torch.load(path, weights_only=True)['state_dict']
        assert all(one.isfinite().all() for one in state.values())


def test_settings_that_cannot_be_used() -> None:
    with pytest.raises(ConfigError, match='set num_classes'):
        Segmentation(model='test_vit')
    with pytest.raises(ConfigError, match='two classes'):
        build(Segmentation, num_classes=1)
    with pytest.raises(ConfigError, match='1 labels came for num_classes: 2; give one for each'):
        build(Segmentation, labels=['roof'])
    with pytest.raises(ConfigError, match='train: frozen'):
        build(Segmentation, train='linear', decoder='dpt')
    with pytest.raises(UnknownNameError, match='unknown train'):
        build(Classification, train='half')
    with pytest.raises(ConfigError, match='does not suit'):
        build(Classification, loss='bce')
    with pytest.raises(ConfigError, match='mixed labels'):
        build(Classification, mixup=1.0, ignore_index=0)


def test_a_checkpoint_without_a_head_is_no_predictor(ckpt: Path) -> None:
    with pytest.raises(CheckpointError, match='holds an encoder without a head'):
        load_predictor(ckpt)
