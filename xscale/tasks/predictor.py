"""A trained downstream model as a plain module: pixels in, logits out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, ConfigError
from ..models.checkpoint import CONTRACT, Encoder, restore
from ..models.convert import read_checkpoint
from ..models.vit import patch_size
from .heads import create_head

#: Tasks whose checkpoints hold a head.
TASKS = ('segmentation', 'classification')


class Predictor(nn.Module):
    """A model that normalises its input by itself.

    Attributes:
        task: 'segmentation' or 'classification'.
        classes: Names of the classes, K of them.
        bands: Names of the bands it takes, in their order.
        size: Side of the images it was trained on, in pixels.
        patch: Side of a patch in pixels, of which the sides of an image are multiples.
        gsd: Finest and coarsest metres per pixel it was trained on; None where they were not known.
        contract: The whole input contract.
    """

    def __init__(self, encoder: Encoder, head: nn.Module, contract: Mapping[str, Any]) -> None:
        """Join the parts.

        Args:
            encoder: The encoder.
            head: What stands on it.
            contract: The input contract of the checkpoint.
        """
        super().__init__()
        self.encoder, self.head, self.contract = encoder, head, dict(contract)
        self.task = str(contract['task'])
        self.classes = tuple(str(name) for name in contract['classes'])
        self.bands = encoder.sensors[0].bands
        self.size, self.patch = int(contract['size']), patch_size(encoder.model)
        ends = contract.get('gsd')
        self.gsd = (float(ends[0]), float(ends[1])) if ends else None

    @torch.no_grad()
    def forward(self, image: Tensor, gsd: Tensor | float, valid: Tensor | None = None) -> Tensor:
        """Predict.

        Args:
            image: The bands :attr:`bands` in the units of the files it was trained on, shape
                (B, C, H, W); not finite is no data.
            gsd: Metres per pixel, one for all or one for each, shape (B,).
            valid: True where a pixel holds data, shape (B, 1, H, W); all finite ones by default.

        Returns:
            Logits, float32: (B, K, H, W) of a segmentation, (B, K) of a classification.

        Raises:
            ConfigError: If the bands are others, or metres per pixel are needed and not known.
            InputSizeError: If H or W is no multiple of the patch.
        """
        gsd = torch.as_tensor(gsd, dtype=torch.float32, device=image.device).expand(len(image))
        known = gsd.isfinite() & (gsd > 0)
        if self.encoder.position == 'gsd' and not known.all():
            raise ConfigError(
                f'the model needs metres per pixel, and of {int((~known).sum())} of {len(gsd)} '
                'images they are not known; say them (gsd, or --gsd METRES)'
            )
        finite = image.isfinite().all(1, keepdim=True)
        valid = finite if valid is None else valid & finite
        return self.head(self.encoder, image, gsd.where(known, 1.0), valid)


def load_predictor(path: str | Path) -> Predictor:
    """Load a checkpoint of a downstream task.

    Args:
        path: A checkpoint of :class:`~xscale.tasks.Segmentation` or
            :class:`~xscale.tasks.Classification`.

    Returns:
        The model, in evaluation mode.

    Raises:
        MissingPathError: If there is no such file.
        CheckpointError: If it is another checkpoint, or is incomplete.
    """
    content = read_checkpoint(path)
    contract = content.get(CONTRACT) or {}
    if contract.get('task') not in TASKS or 'hyper_parameters' not in content:
        what = 'holds an encoder without a head' if contract else 'is no checkpoint of xscale'
        raise CheckpointError(
            f'{path} {what}; train one with xscale fit and tasks/segment/finetune.yaml or '
            'tasks/classify/finetune.yaml'
        )
    encoder = restore(content, str(path))
    head = create_head(
        contract['task'], encoder, len(contract['classes']), content['hyper_parameters']
    )
    state = {
        key.removeprefix('head.'): tensor
        for key, tensor in content['state_dict'].items()
        if key.startswith('head.')
    }
    try:
        head.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f'{path} does not fill its head: {error}') from error
    return Predictor(encoder, head, contract).eval()
