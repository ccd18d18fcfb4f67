"""A labelled data set: its splits, and what is wrong with labels that cannot be evaluated."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...errors import ConfigError
from ..find import Rejected
from ..ground import place_warnings
from .split import Split

#: The splits there may be, in the order they are told.
SPLITS = ('train', 'val', 'test')


@dataclass
class Labelled:
    """Labelled images of a data set.

    Attributes:
        name: For people, and for names of files.
        classes: What the labels count.
        bands: Names of the channels.
        dtype: Of the files.
        multilabel: Whether an image may have several classes, or none.
        splits: ``train`` and ``test``, and ``val`` where the data has one.
        notes: What a user should know.
        rejected: Images left out, with the reason.
    """

    name: str
    classes: tuple[str, ...]
    bands: tuple[str, ...]
    dtype: str
    multilabel: bool
    splits: dict[str, Split]
    notes: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Put the splits in order, and refuse those that cannot be evaluated."""
        self.splits = {name: self.splits[name] for name in SPLITS if name in self.splits}
        self.check()

    def check(self) -> None:
        """Refuse labels that cannot be evaluated.

        Raises:
            ConfigError: If a split is missing or empty, there is one class alone, or images to
                test on have a class that none to train on has.
        """
        left_out = self._left_out()
        for split in dict.fromkeys(('train', 'test', *self.splits)):
            if not len(self.splits.get(split, ())):
                there = ', '.join(f'{name} {len(one):,}' for name, one in self.splits.items())
                raise ConfigError(
                    f'{self.name}: no image in {split} ({there}); evaluation compares images of '
                    f'test with those of train, and needs some in both{left_out}'
                )
        seen = _classes(self.splits['train'].labels)
        if len(seen) < 2:
            only = ', '.join(self.classes[number] for number in seen) or 'none'
            raise ConfigError(
                f'{self.name}: the images of train are all of one class ({only}); at least two '
                f'classes are needed{left_out}'
            )
        for split, one in self.splits.items():
            strange = [self.classes[k] for k in sorted(_classes(one.labels) - seen)]
            # Of many classes, rare ones may be missing; those are left to the metric.
            if strange and not self.multilabel:
                raise ConfigError(
                    f'{self.name}: {split} holds classes of which train holds no image: '
                    f'{", ".join(strange)}; add some to train, or take them out of {split}'
                    f'{left_out}'
                )

    @property
    def warnings(self) -> list[str]:
        """What makes scores doubtful, such as images to test on whose ground is trained on."""
        return place_warnings({name: split.places for name, split in self.splits.items()})

    def fingerprint(self, split: str) -> str:
        """Return hex digits that change when files of a split, their labels or the classes do.

        Args:
            split: 'train', 'val' or 'test'.
        """
        one = self.splits[split]
        said = one.fingerprint, one.labels.tolist(), self.classes, self.bands, self.dtype
        return hashlib.sha256(repr(said).encode('utf-8', 'backslashreplace')).hexdigest()[:32]

    def _left_out(self) -> str:
        if not self.rejected:
            return ''
        first = self.rejected[0]
        return f'\nimages left out: {len(self.rejected):,}, such as {first.path}: {first.reason}'


def _classes(labels: Tensor) -> set[int]:
    """Return the classes that any image has."""
    found = labels.any(0).nonzero().ravel() if labels.ndim == 2 else labels.unique()
    return set(found.tolist())


def numbered(labels: Sequence[Sequence[str]], classes: Sequence[str], multilabel: bool) -> Tensor:
    """Turn names of classes into labels.

    Args:
        labels: Names of the classes of each image, (N,) lists.
        classes: All names, in the order of their numbers.
        multilabel: Whether images may have several.

    Returns:
        Labels, (N,) int64, or (N, K) bool.
    """
    number = {name: count for count, name in enumerate(classes)}
    if not multilabel:
        return torch.tensor([number[one] for (one,) in labels], dtype=torch.int64)
    found = torch.zeros(len(labels), len(classes), dtype=torch.bool)
    for row, names in enumerate(labels):
        found[row, [number[name] for name in names]] = True
    return found
