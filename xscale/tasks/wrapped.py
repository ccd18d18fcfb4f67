"""The encoder of a run that goes on, as one to evaluate."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from torch import nn

from ..datasets.labelled import Labelled
from ..encoders.checkpoints import CheckpointEmbedder
from ..encoders.intake import Intake
from ..models.checkpoint import Encoder
from .pretraining import Pretraining


def wrap(task: Pretraining, labelled: Labelled, sensor: str | None) -> CheckpointEmbedder:
    """Make an encoder to evaluate out of the one that is trained; they share their weights.

    Args:
        task: The task, whose encoder is a plain vision transformer.
        labelled: What it is to see.
        sensor: Which sensor of the run the images are of.

    Raises:
        XScaleError: If the bands do not fit, or there is no such sensor.
    """
    objective: Any = task.objective
    contract = task.input_contract()
    encoder = Encoder(
        cast(Any, task.model),
        contract,
        position=objective.position,
        normalize_encoder=objective.normalize_encoder,
        pooling=contract['pooling'],
        embeds=task.embeds,
        layout=objective.layout,
    )
    intake = Intake(encoder.sensors, labelled.bands, labelled.dtype, sensor)
    embedder = CheckpointEmbedder('the encoder', encoder, labelled.bands, intake, 'checkpoint')
    return embedder.to(task.device)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode, and each of its parts back into its own.

    Args:
        module: The module.
    """
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training
