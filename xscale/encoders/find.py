"""Find an encoder by what a user calls it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, ConfigError, XScaleError
from .base import Embedder
from .names import near

#: How names of encoders begin, and an example of each.
FORMS = (
    'a checkpoint of xscale or a released file (runs/mae/last.ckpt)',
    'timm:NAME (timm:vit_base_patch16_224.augreg_in21k)',
    'torchgeo:NAME[.WEIGHTS] (torchgeo:scalemae_large_patch16)',
    'random:NAME or random:CKPT (random:vit_small_patch16_224)',
    'image-stats',
)

#: Endings of files with weights.
SUFFIXES = ('.ckpt', '.pth', '.pt', '.bin')


class UnknownEncoderError(XScaleError, ValueError):
    """A name that is no encoder."""

    def __init__(self, name: str, close: Sequence[str]) -> None:
        """Build the message.

        Args:
            name: What came.
            close: Names that are like it.
        """
        like = f'; near it are: {", ".join(close)}' if close else ''
        super().__init__(
            f'{name!r} is no encoder: there is no such file (looked from {Path.cwd()}), and no '
            f'such model{like}\nwanted is one of:' + ''.join(f'\n  {form}' for form in FORMS)
        )


def find_encoder(
    name: str, *, bands: Sequence[str], dtype: str, sensor: str | None = None
) -> Embedder:
    """Load an encoder and fit it to the bands of data.

    Call :meth:`~Embedder.fit_data` with the statistics of the data before it is used.

    Args:
        name: Path of a checkpoint of ours, or of a released file;
            ``timm:NAME``, or a timm name; ``torchgeo:NAME[.WEIGHTS]``; ``random:NAME`` or
            ``random:CKPT``; or ``image-stats``.
        bands: Names of the channels of the data.
        dtype: Of the data's files, such as 'uint8'.
        sensor: Which sensor of a checkpoint the data are of; found by bands and values by
            default.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        UnknownEncoderError: If it is none of these.
        XScaleError: If it cannot be loaded, or does not fit the bands.
    """
    if not bands:
        raise ConfigError('the data name no bands; one name for each channel is needed')
    kind, colon, rest = name.partition(':')
    if Path(name).is_file():
        from .checkpoints import checkpoint_embedder

        found = checkpoint_embedder(name, bands=bands, dtype=dtype, sensor=sensor)
    elif name == 'image-stats':
        from .controls import ImageStatistics

        found = ImageStatistics(bands)
    elif colon and kind == 'torchgeo':
        from .torchgeo_models import torchgeo_embedder

        found = torchgeo_embedder(rest, bands=bands, dtype=dtype, sensor=sensor)
    elif colon and kind == 'random':
        found = _random(rest, bands=bands, dtype=dtype, sensor=sensor)
    else:
        found = _timm(name, bands=bands, dtype=dtype, sensor=sensor)
    return found.eval().requires_grad_(False)


def _random(name: str, **data: Any) -> Embedder:
    import timm

    from .controls import random_embedder

    if not Path(name).is_file() and not timm.is_model(name.split('.')[0]):
        models = timm.list_models('vit_*_patch*')
        raise UnknownEncoderError(f'random:{name}', [f'random:{one}' for one in near(name, models)])
    return random_embedder(name, **data)


def _timm(whole: str, **data: Any) -> Embedder:
    import timm

    from .timm_models import timm_embedder

    name = whole.removeprefix('timm:')
    if not timm.is_model(name.split('.')[0]) and Path(whole).is_dir():
        raise CheckpointError(f'{whole} is a folder; name a checkpoint in it, such as last.ckpt')
    if Path(name).suffix in SUFFIXES or not timm.is_model(name.split('.')[0]):
        is_path = '/' in name or Path(name).suffix in SUFFIXES
        raise UnknownEncoderError(whole, [] if is_path else near(name, timm.list_models()))
    return timm_embedder(name, **data)
