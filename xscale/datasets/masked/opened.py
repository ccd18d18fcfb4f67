"""Images with labelled pixels, as they are once they were looked at."""

from dataclasses import dataclass
from typing import NamedTuple

from ..find import Rejected
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
