"""Scenes with a bright square, their masks and labels, and data modules that give them."""

from pathlib import Path
from typing import Any

import kornia.augmentation as K
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchgeo.datamodules import NonGeoDataModule

from xscale.models.checkpoint import CONTRACT
from xscale.models.vit import create_encoder

from ..tiny import seeded

RGB = ['red', 'green', 'blue']
MEAN, STD = 100.0, 50.0
AERIAL = {'name': 'aerial', 'bands': RGB, 'mean': [MEAN] * 3, 'std': [STD] * 3}
CLASSES = ['ground', 'roof']


class Scenes(Dataset[dict[str, Tensor]]):
    """Images of 64 px in bytes' units; every other one shows a square."""

    classes = CLASSES

    def __init__(self, split: str = 'train', multilabel: bool = False, roof: int = 1) -> None:
        self.split, self.multilabel, self.roof = split, multilabel, roof

    def __len__(self) -> int:
        return 8 if self.split == 'train' else 4

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = seeded(index + 100 * (self.split != 'train'))
        image = MEAN + STD * torch.randn(3, 64, 64, generator=generator)
        mask = torch.zeros(64, 64, dtype=torch.int64)
        if index % 2:
            image[:, 16:48, 16:48] += 2 * STD
            mask[16:48, 16:48] = self.roof
        mask[0] = 255
        label = torch.tensor(index % 2)
        gsd = torch.tensor(0.5 * (1 + index % 2))
        sample = {'image': image, 'mask': mask, 'label': label, 'gsd': gsd}
        sample['valid'] = torch.ones(1, 64, 64, dtype=torch.bool)
        if self.multilabel:
            sample['label'] = torch.tensor([True, bool(index % 2)])
        return sample


class OurScenes(NonGeoDataModule):
    """Batches in the files' units, with a contract, as our own data modules give them."""

    def __init__(self, bands: list[str] | None = None, batch_size: int = 4, **options: Any) -> None:
        super().__init__(Scenes, batch_size, 0, **options)
        self.aug = nn.Identity()
        bands = bands or RGB
        sensor = AERIAL | {'bands': bands}
        self.contract = {'bands': bands, 'sensors': [sensor], 'gsd': [0.5, 1.0]}

    def plot(self, *args: Any, **kwargs: Any) -> None:
        """No pictures."""


class TorchGeoScenes(NonGeoDataModule):
    """Batches that the data module has normalised, as TorchGeo's do; with bands, not by name."""

    mean, std = torch.tensor(MEAN - 10), torch.tensor(STD * 2)

    def __init__(self, batch_size: int = 4, **options: Any) -> None:
        super().__init__(Scenes, batch_size, 0, **options)
        self.aug = K.AugmentationSequential(
            K.Normalize(mean=self.mean, std=self.std), data_keys=None, keepdim=True
        )

    def plot(self, *args: Any, **kwargs: Any) -> None:
        """No pictures."""


def write_checkpoint(path: Path, seed: int = 0, sensor: Any = None, **options: Any) -> Path:
    """Write an encoder of random weights as a checkpoint of ours."""
    torch.manual_seed(seed)
    sensor = sensor or AERIAL
    model = create_encoder('test_vit', len(sensor['bands']), block=options.get('block', 'pre_norm'))
    # Positions and class token as a trained encoder has them, of no use where they are 0.
    nn.init.normal_(model.cls_token, generator=seeded())
    hparams = {'model': 'test_vit', 'in_channels': len(sensor['bands']), 'options': options}
    torch.save(
        {
            'state_dict': {f'model.{key}': tensor for key, tensor in model.state_dict().items()},
            'hyper_parameters': hparams,
            CONTRACT: {'sensors': [sensor], 'size': 64, 'gsd': [0.3, 1.0]},
        },
        path,
    )
    return path
