"""Segmentation learns."""

from pathlib import Path

import pytest
import torch

from xscale.errors import ConfigError
from xscale.tasks import Segmentation, load_predictor

from .scenes import OurScenes, write_checkpoint
from .test_downstream import fit, raw, trainer

pytestmark = pytest.mark.filterwarnings(
    'ignore:.*does not have many workers', 'ignore:.*smaller than the logging interval'
)


@pytest.mark.parametrize('decoder', ['dpt', 'linear'])
def test_it_finds_the_squares(decoder: str, tmp_path: Path) -> None:
    """On a frozen encoder of random weights; the metric is of the pixels that are labelled."""
    weights = write_checkpoint(tmp_path / 'encoder.ckpt')
    torch.manual_seed(0)
    task = Segmentation(
        weights=str(weights),
        num_classes=2,
        train='frozen',
        decoder=decoder,  # type: ignore[arg-type]
        decoder_channels=8,
        lr=0.003 if decoder == 'dpt' else 0.02,
    )
    path = fit(task, OurScenes(), tmp_path, max_epochs=20)
    (found,) = trainer(tmp_path).validate(task, datamodule=OurScenes(), verbose=False)
    assert found['val_AverageJaccardIndex'] > 0.7
    batch = raw()
    best = load_predictor(path)(batch['image'], batch['gsd']).argmax(1)
    labelled = batch['mask'] != 255
    right = (best == batch['mask'])[labelled].float().mean().item()
    assert found['val_OverallAccuracy'] == pytest.approx(right, abs=1e-4)


def test_what_is_not_labelled_counts_nothing(tmp_path: Path) -> None:
    """Whatever the model says there, and where an image has no data."""
    task = Segmentation(model='test_vit', num_classes=2, decoder='linear', train='linear').eval()
    torch.nn.init.normal_(task.head.linear.weight)
    batch = raw()
    batch['valid'] = torch.ones(4, 1, 64, 64, dtype=torch.bool)
    batch['valid'][:, :, 32:] = False
    mask = task.checked(batch, 0)['mask']
    assert (mask[:, 32:] == 255).all()
    other = {**batch, 'mask': batch['mask'].clone()}
    other['mask'][:, 32:] = 1 - other['mask'][:, 32:]
    logits = task(batch['image'])
    losses = [task.criterion(logits, task.checked(one, 0)['mask']) for one in (batch, other)]
    assert losses[0] == losses[1]


def test_masks_that_do_not_fit(tmp_path: Path) -> None:
    """Raised out of training, whoever runs it."""
    task = Segmentation(model='test_vit', num_classes=2, decoder='linear')
    message = r'batch 0, samples .*: mask pixels with the values \[7\]; 0 to 1 are needed, and 255'
    with pytest.raises(ConfigError, match=message):
        fit(task, OurScenes(roof=7), tmp_path)
