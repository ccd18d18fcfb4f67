"""What objectives have in common whose encoder sees some patches of each view."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..errors import ConfigError, UnknownNameError
from ..models.masking import gather_tokens, random_masks
from ..models.position import POSITIONS, Position
from ..models.tokens import patchify, unpatchify
from ..models.vit import embed, encoder_positions, patch_size
from ..types import Masks, View
from .base import Objective


@dataclass(frozen=True, slots=True)
class Picture:
    """One thing to look at of each image of a view.

    Attributes:
        name: What it shows, for people.
        image: Normalised pixels, shape (B, C, H, W); or colours 0 to 1, shape (B, 3, h, w).
        drawn: Whether it is a drawing in colours and not an image.
    """

    name: str
    image: Tensor
    drawn: bool = False


class MaskedObjective(Objective):
    """An objective whose encoder sees a random share of the patches of each view."""

    #: The kind of encoder it trains.
    kind: ClassVar[type[nn.Module]] = VisionTransformer

    #: Which of the channels each group of bands has, (groups, C).
    present: Tensor

    def __init__(
        self,
        encoder: VisionTransformer,
        *,
        mask_ratio: float = 0.75,
        position: Position = 'index',
        normalize_encoder: bool = True,
        init: str = 'xavier',
        embeds: nn.ModuleDict | None = None,
        weights: Mapping[str, float] | None = None,
        more: Sequence[str] = (),
    ) -> None:
        """Take an encoder.

        Args:
            encoder: As :func:`~xscale.models.vit.create_encoder` builds it.
            mask_ratio: Share of patches that are hidden.
            position: 'index' counts patches (MAE); 'gsd' counts metres (Scale-MAE); 'table' takes
                the encoder's own table, for weights whose positions were learned.
            normalize_encoder: Apply the encoder's final LayerNorm.
            init: Weights that decoders start from.
            embeds: Patch embeddings of groups of bands beyond the encoder's own, as
                :func:`~xscale.models.groups.create_embeds` builds them.
            weights: Weight of each term; 0 skips its work.
            more: Names of terms this one has beyond those of its class.

        Raises:
            UnknownNameError: If a term or position does not exist.
            ConfigError: If the settings do not fit together.
        """
        super().__init__(weights, more)
        if not issubclass(type(encoder), self.kind):
            raise ConfigError(
                f'{type(self).__name__} trains a {self.kind.__name__} and a '
                f'{type(encoder).__name__} came; a VisionTransformer, such as '
                'vit_base_patch16_224, is for LocalMIM and all others, and a Swin, such as '
                'swin_tiny_patch4_window7_224, for LocalMIMSwin'
            )
        if position not in POSITIONS:
            raise UnknownNameError('position', position, POSITIONS)
        if init == 'local' and position == 'gsd':
            raise ConfigError(
                "init 'local' knows which patches are near by counting them; with position 'gsd' "
                "choose init 'xavier'"
            )
        self.encoder = encoder
        self.patch = patch_size(encoder)
        self.mask_ratio, self.position = mask_ratio, position
        self.normalize_encoder = normalize_encoder
        self.embeds = nn.ModuleDict() if embeds is None else embeds
        projections = [encoder.patch_embed.proj, *(one.proj for one in self.embeds.values())]
        bands = torch.tensor([[projection.in_channels] for projection in projections])
        present = torch.arange(int(bands.max())) < bands
        self.register_buffer('present', present, persistent=False)

    @property
    def bands(self) -> dict[str, int]:
        """Number of bands of each group, the encoder's own first."""
        return dict(zip(('', *self.embeds), self.present.sum(1).tolist(), strict=True))

    @property
    def rebuilds(self) -> bool:
        """Whether a term trains it to predict the pixels that its encoder does not see."""
        return False

    def fill(self, view: View, masks: Masks) -> Tensor:
        """Predict the hidden patches of what the encoder sees; only where it :attr:`rebuilds`.

        Args:
            view: What the encoder sees.
            masks: Its mask.

        Returns:
            The view with them, shape (B, C, H, W).
        """
        raise NotImplementedError

    @abstractmethod
    def pictures(self, views: Sequence[View], masks: Sequence[Masks]) -> list[list[Picture]]:
        """Make what people can look at.

        Args:
            views: The views.
            masks: The mask of each.

        Returns:
            Pictures of each view.
        """

    def draw_masks(
        self, views: Sequence[View], generator: torch.Generator | None
    ) -> tuple[Masks, ...]:
        """Draw an independent mask for each view.

        Args:
            views: The views.
            generator: Source of the noise.

        Raises:
            ConfigError: If there is no generator.
        """
        if generator is None:
            raise ConfigError('give masks, or a generator to draw them from')
        return tuple(self.draw_mask(view, generator) for view in views)

    def draw_mask(self, view: View, generator: torch.Generator) -> Masks:
        """Draw the mask of each image of a view.

        Args:
            view: The view.
            generator: Source of the noise.
        """
        device = view.image.device
        return random_masks(len(view.image), self.patches(view), self.mask_ratio, generator, device)

    def patches(self, view: View) -> int:
        """Count the patches of an image.

        Args:
            view: The view.
        """
        height, width = view.image.shape[-2:]
        return (height // self.patch) * (width // self.patch)

    def hidden(self, view: View, masks: Masks) -> Tensor:
        """Tell which pixels of a view the encoder does not see.

        Args:
            view: The view.
            masks: Its mask.

        Returns:
            Shape (B, 1, H, W), bool; or (B, C, H, W) where that depends on the band.
        """
        size, pixels = view.image.shape[-2:], self.patch**2
        masked = masks.masked.reshape(len(view.image), -1, 1)
        return unpatchify(masked.expand(-1, -1, pixels), self.patch, *size)

    def embed_visible(self, view: View, masks: Masks) -> Tensor:
        """Embed the visible patches of a view and add their positions.

        Args:
            view: The view.
            masks: Its mask.

        Returns:
            Shape (B, K, D).
        """
        patches = gather_tokens(patchify(view.image, patch_size(self.encoder)), masks.keep)
        positions = encoder_positions(self.encoder, view, self.position)
        tokens = embed(self.encoder, patches, self.embeds, view.group)
        return tokens + gather_tokens(positions, masks.keep)

    def group_of(self, view: View) -> Tensor:
        """Return the group of bands of each image, (B,).

        Args:
            view: The view.
        """
        if view.group is not None:
            return view.group
        return torch.zeros(len(view.image), dtype=torch.int64, device=view.image.device)
