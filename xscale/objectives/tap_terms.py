"""Terms of what an encoder says at several depths: cells predicted, against what they are."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ConfigError
from ..models.position import Position
from ..types import Masks, View
from .cells import CellTargets
from .masked import Picture


class TapTerms(nn.Module, ABC):
    """What has a decoder at each tap of an encoder, which predicts cells of a size of its own.

    Cells that are touched by missing data count in no term.

    Attributes:
        patch: Side in pixels of what is hidden as one.
        isolate: Whether each part of the encoder is trained by the term of the tap above it alone.
        taps: Numbers of the taps that have a term.
        names: What people call each of them.
        targets: What is predicted.
        norms: A LayerNorm for every tap, or nothing.
        decoders: A decoder for every tap.
    """

    taps: list[int]
    names: list[str]
    targets: CellTargets
    norms: nn.ModuleList
    decoders: nn.ModuleList

    def __init__(self, patch: int, isolate: bool) -> None:
        """Begin.

        Args:
            patch: Side in pixels of what is hidden as one.
            isolate: See the class.
        """
        super().__init__()
        self.patch, self.isolate = patch, isolate

    def freeze_others(self) -> None:
        """Train nothing of a tap without a term; DistributedDataParallel wants to know."""
        for k in set(range(len(self.decoders))) - set(self.taps):
            self.norms[k].requires_grad_(False)
            self.decoders[k].requires_grad_(False)

    @abstractmethod
    def check_last(self, encoder: nn.Module) -> None:
        """Make sure that these terms alone train the encoder to its end.

        Args:
            encoder: The encoder.

        Raises:
            ConfigError: If they do not.
        """

    @abstractmethod
    def predict(
        self, said: Sequence[Tensor], view: View, masks: Masks, position: Position
    ) -> list[Tensor]:
        """Predict the cells of each tap.

        Args:
            said: As :meth:`forward` takes it.
            view: The view.
            masks: Its mask.
            position: How positions are counted.

        Returns:
            For each tap cells row by row, shape (B, M, P).
        """

    def forward(
        self, said: Sequence[Tensor], view: View, masks: Masks, position: Position
    ) -> dict[str, Tensor]:
        """Compute the terms.

        Args:
            said: What the encoder says at each of :attr:`taps`.
            view: The view.
            masks: Its mask.
            position: How positions are counted.

        Returns:
            A term for each tap: the squared error of hidden cells, the mean over their values and
            over cells, weighted by the share of a cell that is hidden.
        """
        made = self.predict(said, view, masks, position)
        terms = {}
        for k, prediction, target in zip(
            self.taps, made, self.targets(view, self.taps), strict=True
        ):
            error = self.targets.error(prediction, target, view, k)
            weight = self.hidden(view, masks, k) * self.targets.counted(view, k)
            terms[f'local_{k}'] = (error * weight).sum() / weight.sum().clamp(min=1e-6)
        return terms

    def hidden(self, view: View, masks: Masks, k: int) -> Tensor:
        """Return the share of each cell of a tap that is hidden.

        Args:
            view: The view.
            masks: Its mask.
            k: Number of the tap.

        Returns:
            Shape (B, M), float32.
        """
        patches = masks.masked.float().unflatten(1, (1, *self.grid(view)))
        if (pool := self.targets.sides[k] // self.patch) > 1:
            return F.avg_pool2d(patches, pool).flatten(1)
        times = self.patch // self.targets.sides[k]
        return patches.repeat_interleave(times, 2).repeat_interleave(times, 3).flatten(1)

    def grid(self, view: View) -> tuple[int, int]:
        """Return the patches of a view down and right.

        Args:
            view: The view.

        Raises:
            ConfigError: If it does not divide into the cells of each tap.
        """
        height, width = view.image.shape[-2:]
        for k in self.taps:
            cell = self.targets.sides[k]
            if height % cell or width % cell:
                raise ConfigError(
                    f'a view of {height}×{width} px does not divide into the {cell} px cells of '
                    f'tap {k}; choose a size that is a multiple of {cell}, or other scales'
                )
        return height // self.patch, width // self.patch

    def pictures(
        self, said: Sequence[Tensor], view: View, masks: Masks, position: Position
    ) -> list[Picture]:
        """Make pictures of what each tap predicts.

        Args:
            said: As :meth:`forward` takes it.
            view: The view.
            masks: Its mask.
            position: How positions are counted.
        """
        found = []
        made = self.predict(said, view, masks, position)
        for k, tap, prediction in zip(self.taps, self.names, made, strict=True):
            name = f'{self.targets.sides[k]} px, {tap}'
            hidden = self.hidden(view, masks, k) > 0
            found += self.targets.pictures(prediction, hidden, view, k, name)
        return found
