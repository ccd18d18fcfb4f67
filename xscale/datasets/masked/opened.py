"""Images with labelled pixels, as they are once they were looked at."""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from ..find import Rejected
from ..ground import place_warnings
from ..labelled.split import stamp
from .classes import Classes
from .images import ImageFile
from .masks import MaskFile
from .polygons import Polygons


class Scene(NamedTuple):
    """An image, and its mask; None where polygons label it."""

    image: ImageFile
    mask: MaskFile | None


@dataclass
class Masked:
    """Images whose pixels are labelled.

    Attributes:
        name: For people.
        classes: The classes.
        bands: Names of the channels.
        dtype: Of the images' files.
        splits: The images of ``train``, ``val`` and ``test``, as far as there are any.
        labels: Polygons that label them; None where masks do.
        notes: What a user should know.
        rejected: Images left out, with the reason.
    """

    name: str
    classes: Classes
    bands: tuple[str, ...]
    dtype: str
    splits: dict[str, list[Scene]]
    labels: Polygons | None
    notes: list[str]
    rejected: list[Rejected]

    @property
    def warnings(self) -> list[str]:
        """What makes scores doubtful, such as images to test on whose ground is trained on."""
        return place_warnings(
            {split: [one.image.whole for one in some] for split, some in self.splits.items()}
        )

    def fingerprint(self, split: str) -> str:
        """Return hex digits that change when files of a split, their labels or the classes do.

        Args:
            split: 'train', 'val' or 'test'.
        """
        found = hashlib.sha256(repr((self.classes, self.bands)).encode())
        for image, mask in self.splits[split]:
            stamps = stamp(image.path), mask and stamp(mask.path)
            found.update(repr((image, mask, stamps)).encode('utf-8', 'backslashreplace'))
        if self.labels is not None:
            numbers = self.labels.frames['']['number'].tolist()
            found.update(repr((self.labels.path, stamp(self.labels.path), numbers)).encode())
        return found.hexdigest()[:32]
