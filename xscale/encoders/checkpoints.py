"""A checkpoint of ours, or a released file, as an encoder to compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..models.checkpoint import CONTRACT, Encoder, restore
from ..models.convert import convert_state, read_checkpoint, tensors_of
from ..models.frames import Frames
from ..models.released.build import build
from ..models.vit import patch_size
from .base import Embedded, Embedder
from .intake import Intake

#: Said of encoders that take dates.
UNDATED = 'it takes images of a place with their dates, and is given one without a date here'


class CheckpointEmbedder(Embedder):
    """An :class:`~xscale.models.Encoder` that is fed by the data's bands and values."""

    def __init__(
        self, name: str, encoder: Encoder, bands: Sequence[str], intake: Intake, kind: str
    ) -> None:
        """Wrap an encoder.

        Args:
            name: What people read.
            encoder: The encoder.
            bands: Bands of the data.
            intake: How they become the encoder's.
            kind: 'checkpoint', 'torchgeo' or 'random'.
        """
        super().__init__(name, bands, encoder.poolings, intake)
        self.kind, self.encoder = kind, encoder
        self.uses_gsd = encoder.position == 'gsd'
        self.patch = self.smallest = patch_size(encoder.model)
        self.own_size = int(encoder.contract.get('size') or encoder.model.patch_embed.img_size[0])
        if isinstance(encoder.layout, Frames):
            self.own_notes.append(UNDATED)

    @property
    def contract(self) -> dict[str, Any]:
        """The input contract of the checkpoint."""
        return self.encoder.contract

    def preparation(self) -> str:
        """Say in full how an image becomes features, beside the weights."""
        blocks = {type(block).__name__ for block in self.encoder.model.blocks}
        how = self.encoder.position, self.encoder.normalize_encoder
        return f'{super().preparation()} {how} {sorted(blocks)}'

    def embed(self, image: Tensor, gsd: Tensor, valid: Tensor) -> Embedded:
        """Encode images; see :meth:`Embedder.embed`."""
        sensor = self.intake.chosen() if self.intake else None
        return Embedded(*self.encoder.encode(image, gsd, sensor, valid))


def read_ours(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of ours, or a released file as if it were one.

    Args:
        path: The file.

    Raises:
        MissingPathError: If there is no such file.
        CheckpointError: If it is neither.
    """
    content = read_checkpoint(path)
    return content if CONTRACT in content else build(convert_state(tensors_of(content, path)))


def checkpoint_embedder(
    path: str, *, bands: Sequence[str], dtype: str, sensor: str | None
) -> Embedder:
    """Load a checkpoint.

    Args:
        path: A checkpoint of ours, or a released file.
        bands: Bands of the data.
        dtype: Of the data's files.
        sensor: Which sensor of the checkpoint the data are of.
    """
    encoder = restore(read_ours(path), path)
    intake = Intake(encoder.sensors, bands, dtype, sensor)
    return CheckpointEmbedder(short_name(path), encoder, bands, intake, 'checkpoint')


def short_name(path: str) -> str:
    """Name a checkpoint by its folder, for most are called ``last.ckpt``.

    Args:
        path: The file.
    """
    file = Path(path).resolve()
    return file.parent.name if file.stem == 'last' else f'{file.parent.name}/{file.stem}'
