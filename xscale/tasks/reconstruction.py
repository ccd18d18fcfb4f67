"""How well a checkpoint with a decoder fills in what is hidden, as images become coarser."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..evaluation import ReconstructionErrors, reconstruction_errors, without_model
from ..models.masking import random_masks
from ..models.vit import patch_size
from ..objectives.masked import MaskedObjective
from ..types import View
from .pretraining import Pretraining

#: Images of one scale: what an encoder takes (B, C, S, S), metres per pixel (B,), valid.
type Shown = tuple[Tensor, Tensor, Tensor]

#: Name of the model's own answer beside those that need none.
MODEL = 'model'


class Made(NamedTuple):
    """What came of some images of one scale, normalised.

    Attributes:
        image: The images, shape (B, C, S, S).
        picture: With the hidden patches as predicted, shape (B, C, S, S).
        valid: True where a pixel holds data, shape (B, 1, S, S).
        errors: Of each answer, by its name.
    """

    image: Tensor
    picture: Tensor
    valid: Tensor
    errors: dict[str, ReconstructionErrors]


class Reconstructor:
    """Encoder and decoder of a checkpoint."""

    def __init__(self, content: Mapping[str, Any], seed: int = 0) -> None:
        """Build them.

        Args:
            content: What the file of a checkpoint holds.
            seed: Of the masks, the same for every model and scale.

        Raises:
            CheckpointError: If it has no decoder, or is incomplete.
        """
        # What the command line adds for itself begins with a line.
        hparams = {k: v for k, v in content['hyper_parameters'].items() if not k.startswith('_')}
        task = Pretraining(**hparams | {'weights': None})
        objective = task.objective
        if not isinstance(objective, MaskedObjective) or not objective.rebuilds:
            raise CheckpointError(f'{hparams["objective"]} reconstructs no images')
        if task.layout is not None:
            raise CheckpointError(
                f'{hparams["objective"]} has several tokens of each patch; the comparison hides '
                'whole patches of single images'
            )
        try:
            task.load_state_dict(content['state_dict'])
        except RuntimeError as error:
            raise CheckpointError(f'the decoder cannot be filled: {error}') from error
        self.objective: MaskedObjective = objective.eval()
        self.seed = seed
        self.group_of = task.group_of

    def to(self, device: str) -> 'Reconstructor':
        """Move it.

        Args:
            device: Where to.
        """
        self.objective.to(device)
        return self

    @torch.inference_mode()
    def __call__(self, embedder: Any, shown: Shown, number: int = 0) -> Made:
        """Hide patches of images and predict them.

        Args:
            embedder: The encoder of the same checkpoint, which knows how to normalise the data.
            shown: The images.
            number: Of the batch; batches of one number have the same masks.
        """
        image, gsd, valid = shown
        encoder = embedder.encoder
        sensor = embedder.intake.number or 0
        valid = valid & image.isfinite().all(1, keepdim=True)
        image = encoder.normalize(embedder.intake(image.nan_to_num()), valid, sensor)
        view = View(
            image,
            gsd.where(gsd.isfinite(), 1.0),
            image.new_zeros(len(image), 2),
            valid,
            group=encoder.groups[sensor].expand(len(image)) if len(encoder.embeds) else None,
        )
        generator = torch.Generator().manual_seed(self.seed + number)
        patch = patch_size(encoder.model)
        count = (image.shape[-2] // patch) * (image.shape[-1] // patch)
        ratio = self.objective.mask_ratio
        masks = random_masks(len(image), count, ratio, generator, image.device)
        picture, masked = self.objective.fill(view, masks), masks.masked
        answers = {MODEL: picture, **without_model(image, valid, masked, patch)}
        errors = {
            name: reconstruction_errors(image, answer, valid, masked, patch)
            for name, answer in answers.items()
        }
        return Made(image, picture, valid, errors)


def mean_errors(batches: Iterable[Made], scale: float) -> dict[str, dict[str, float | None]]:
    """Average errors over images.

    Args:
        batches: Images of one scale.
        scale: That scale.

    Returns:
        By answer: ``scale``, ``mse``, ``l1``, ``ssim`` and ``ms_ssim``, None where not measured.
    """
    parts: dict[str, list[ReconstructionErrors]] = {}
    for batch in batches:
        for name, errors in batch.errors.items():
            parts.setdefault(name, []).append(errors)
    return {name: {'scale': scale, **_means(errors)} for name, errors in parts.items()}


def _means(errors: Sequence[ReconstructionErrors]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, *values in zip(ReconstructionErrors._fields, *errors, strict=True):
        known = [value for value in values if value is not None]
        mean = float(torch.cat(known).nanmean()) if known else float('nan')
        found[name] = mean if mean == mean else None
    return found
