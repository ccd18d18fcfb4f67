"""Classification learns, one class or several."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import average_precision_score

from xscale.errors import ConfigError
from xscale.tasks import Classification, load_predictor

from .scenes import OurScenes, write_checkpoint
from .test_downstream import fit, raw, trainer

pytestmark = pytest.mark.filterwarnings(
    'ignore:.*does not have many workers', 'ignore:.*smaller than the logging interval'
)


@pytest.mark.parametrize(
    'options',
    [
        {'train': 'linear', 'lr': 0.05},
        {'train': 'full', 'lr': 1e-3, 'drop_path': 0.0},
        {'train': 'full', 'lr': 1e-3, 'mixup': 0.8, 'cutmix': 1.0, 'smoothing': 0.1, 'resize': 48},
    ],
)
def test_it_tells_squares_from_none(options: dict[str, Any], tmp_path: Path) -> None:
    weights = write_checkpoint(tmp_path / 'encoder.ckpt')
    torch.manual_seed(0)
    task = Classification(weights=str(weights), num_classes=2, **options)
    path = fit(task, OurScenes(), tmp_path, max_epochs=20)
    (found,) = trainer(tmp_path).validate(task, datamodule=OurScenes(), verbose=False)
    assert found['val_OverallAccuracy'] == 1
    logits = load_predictor(path)(raw()['image'], 1.0)
    assert logits.argmax(1).tolist() == [0, 1, 0, 1]
    loss = torch.nn.functional.cross_entropy(logits, raw()['label'])
    assert found['val_loss'] == pytest.approx(loss.item(), abs=1e-4)


def test_several_labels(tmp_path: Path) -> None:
    """Mean average precision as scikit-learn has it."""
    weights = write_checkpoint(tmp_path / 'encoder.ckpt')
    task = Classification(
        weights=str(weights), task='multilabel', num_labels=2, train='linear', smoothing=0.1
    )
    data = OurScenes(multilabel=True)
    path = fit(task, data, tmp_path)
    (found,) = trainer(tmp_path).validate(task, datamodule=data, verbose=False)
    probability = load_predictor(path)(raw()['image'], 1.0).sigmoid().numpy()
    wanted = [[1, i % 2] for i in range(4)]
    assert found['val_mAP'] == pytest.approx(average_precision_score(wanted, probability))
    with pytest.raises(ConfigError, match=r'labels of shape \(4,\) came, \(4, 2\) is needed'):
        fit(task, OurScenes(), tmp_path)


def test_classes_can_weigh_more(tmp_path: Path) -> None:
    logits, label = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    task = Classification(model='test_vit', num_classes=2, class_weights=[1.0, 3.0])
    expected = torch.nn.functional.cross_entropy(logits, label, torch.tensor([1.0, 3.0]))
    assert task.loss(logits, label) == expected
    several = Classification(
        model='test_vit', num_labels=2, task='multilabel', pos_weight=[1.0, 3.0]
    )
    hot = torch.tensor([[1, 0], [0, 1]])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, hot.float(), pos_weight=torch.tensor([1.0, 3.0])
    )
    assert several.loss(logits, hot) == expected
