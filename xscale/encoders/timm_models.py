"""timm's models, fed as they were trained."""

from collections.abc import Sequence

import timm
from torch import Tensor, nn

from ..errors import CheckpointError, ConfigError, InputSizeError, UnknownNameError
from ..types import Sensor
from .bands import RGB
from .base import Embedded, Embedder, standardize, valid_mean
from .intake import Intake


class TimmEmbedder(Embedder):
    """A model with ``forward_features``: patch tokens, or a map whose places are the tokens."""

    def __init__(
        self,
        name: str,
        model: nn.Module,
        bands: Sequence[str],
        intake: Intake,
        *,
        kind: str = 'timm',
        own_size: int = 224,
        any_size: bool = True,
    ) -> None:
        """Wrap a model.

        Args:
            name: What people read.
            model: The model.
            bands: Bands of the data.
            intake: How they become the model's.
            kind: 'timm' or 'torchgeo'.
            own_size: Side of the images it was made for, in pixels.
            any_size: Whether it takes others.
        """
        # Those that end in a sequence of tokens say how many of them are no patches.
        prefix = getattr(model, 'num_prefix_tokens', 0)
        has_class = getattr(model, 'cls_token', None) is not None and prefix > 0
        poolings = ('mean', 'class') if has_class else ('mean',)
        if has_class and getattr(model, 'global_pool', '') == 'token':
            poolings = ('class', 'mean')
        super().__init__(name, bands, poolings, intake)
        self.kind, self.model, self.prefix = kind, model.eval(), prefix
        self.own_size, self.any_size = own_size, any_size
        self.patch, self.smallest = _sides(model)

    def embed(self, image: Tensor, gsd: Tensor, valid: Tensor) -> Embedded:
        """Encode images; see :meth:`Embedder.embed`."""
        self._check_size(image.shape[-2], image.shape[-1])
        sensor = self.intake.sensor if self.intake else None
        if sensor:
            image = standardize(image, valid, sensor.mean, sensor.std)
        features = self.features(image)
        if features.ndim == 4:
            return self._of_map(features, valid)
        prefix, patches = features.split([self.prefix, features.shape[1] - self.prefix], dim=1)
        rows = round((patches.shape[1] * image.shape[-2] / image.shape[-1]) ** 0.5)
        # Trained on the mean, some normalise it only after it is taken.
        after = getattr(self.model, 'fc_norm', None) or nn.Identity()
        mean = valid_mean(patches.mT.unflatten(2, (rows, -1)), valid)
        pooled = {'mean': after(mean)} | ({'class': after(prefix[:, 0])} if self.prefix else {})
        return Embedded(patches, pooled)

    def _check_size(self, height: int, width: int) -> None:
        least, most = self.smallest, None if self.any_size else self.own_size
        if (most and (height, width) != (most, most)) or min(height, width) < least:
            takes = f'images of {most}×{most} px alone' if most else f'no side below {least} px'
            raise ConfigError(
                f'{self.name} takes {takes}, and {height}×{width} px came; resample images to the '
                'side it takes (input_side)'
            )
        if height % self.patch or width % self.patch:
            raise InputSizeError((height, width), self.patch)

    def features(self, image: Tensor) -> Tensor:
        """Run the model.

        Args:
            image: Normalised, shape (B, C, S, S).

        Returns:
            Prefix tokens and patches, (B, P + N, D), or a map, (B, D, h, w) or (B, h, w, D).
        """
        forward = getattr(self.model, 'forward_features', None)
        if forward:
            return forward(image)
        # torchvision's Swin transformers.
        return self.model.norm(self.model.features(image))  # type: ignore[operator]

    def _of_map(self, maps: Tensor, valid: Tensor) -> Embedded:
        width = getattr(self.model, 'num_features', None)
        if width is None or (maps.shape[1] != width and maps.shape[3] == width):
            maps = maps.permute(0, 3, 1, 2)
        return Embedded(maps.flatten(2).mT, {'mean': valid_mean(maps, valid)})


def _sides(model: nn.Module) -> tuple[int, int]:
    """Return what sides of images are a multiple of, and the smallest side, in pixels."""
    info = getattr(model, 'feature_info', None) or [{'reduction': 32}]
    stride = int(info[-1]['reduction'])
    cut = getattr(model, 'patch_embed', None)
    if cut is None:
        # A convolutional network takes any size above the stride of its last stage.
        return 1, stride
    side = int(cut.patch_size[0]) if hasattr(model, 'num_prefix_tokens') else stride
    return side, side


def timm_embedder(name: str, *, bands: Sequence[str], dtype: str, sensor: str | None) -> Embedder:
    """Load a timm model with the weights it was published with.

    Args:
        name: Such as ``vit_base_patch16_224.augreg_in21k``.
        bands: Bands of the data; red, green and blue are needed.
        dtype: Of the data's files.
        sensor: Not used but checked; timm's models know one.

    Raises:
        ConfigError: If the data lack red, green or blue.
        UnknownNameError: If timm has no such weights.
        CheckpointError: If the weights cannot be had.
    """
    tags = timm.list_pretrained(f'{name.split(".")[0]}.*')
    if not tags:
        raise CheckpointError(
            f'timm has no weights for {name}; timm.list_pretrained() names those it has, and '
            f'random:{name} takes random ones'
        )
    if '.' in name and name not in tags:
        raise UnknownNameError('weights of timm', name, tags)
    config = timm.get_pretrained_cfg(name)
    trained = Sensor('timm, 0..1', RGB, tuple(config.mean), tuple(config.std))
    intake = Intake([trained], bands, dtype, sensor)
    model = _create(name)
    sizes = not config.fixed_input_size or getattr(model, 'dynamic_img_size', False)
    own_size = int(config.input_size[-1])
    return TimmEmbedder(f'timm:{name}', model, bands, intake, own_size=own_size, any_size=sizes)


def _create(name: str) -> nn.Module:
    """Build a model with its weights, told to take any size if it can be."""
    options = {'pretrained': True, 'num_classes': 0}
    try:
        try:
            return timm.create_model(name, dynamic_img_size=True, **options)
        except TypeError:
            return timm.create_model(name, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise no_weights(f'timm:{name}', error) from error


def no_weights(name: str, error: Exception) -> CheckpointError:
    """Say that weights could not be had, and what to do.

    Args:
        name: The model.
        error: What went wrong.
    """
    first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip('.')
    return CheckpointError(
        f'the weights of {name} could not be loaded: {first}. They are downloaded when they are '
        'first used: try again where there is a network, then copy the cache (~/.cache/'
        f'huggingface, ~/.cache/torch; HF_HOME, TORCH_HOME) here; or leave {name} out'
    )
