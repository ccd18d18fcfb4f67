"""A segmentation task of GEO-Bench v1, read in ``geobench``'s format without that package.

Lacoste et al., *GEO-Bench: Toward Foundation Models for Earth Monitoring*, NeurIPS 2023. Its
samples are as those of classification, but that the label is a picture named ``label``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ...errors import ConfigError, UnusableError
from ..find import Rejected
from ..formats import explain
from ..ground import Place, box
from ..labelled.geobench import PARTS, class_names, read_partition, read_task
from ..labelled.geobench_bands import Band, bands_of, pick
from ..labelled.geobench_sample import open_sample
from ..labelled.images import Header
from ..labelled.split import NOWHERE
from ..labelled.unpickle import kind
from ..windows import Pixels
from .classes import make_classes
from .grids import PixelGrid
from .images import ImageFile
from .masks import MaskFile
from .opened import Masked, Scene
from .tiles import Part

#: What the label is called among the bands of a sample.
LABEL = 'label'

#: The kinds of such a task: two names that the class had.
KINDS = ('SegmentationClasses', 'SemanticSegmentation')

#: Metres per pixel of a task that states those of the images its labels were drawn on.
TRUE_GSD = {'m-cashew-plant': 10.0}


@dataclass(frozen=True, slots=True)
class SampleImage(ImageFile):
    """The bands of a sample.

    Attributes:
        stored: What they are called in it.
        box: West, south, east and north in degrees, (4,).
    """

    stored: tuple[str, ...] = ()
    box: tuple[float, ...] = tuple(NOWHERE.tolist())

    def read(self, part: Part) -> Pixels:
        """Read a window; see :meth:`ImageFile.read`."""
        with open_sample(self.path) as sample:
            image = _inside(sample.image(self.stored), part)
        valid = np.isfinite(image).all(0)
        return np.where(valid, image, np.float32(0)), valid

    def metres(self, part: Part) -> float:
        """Return the metres per pixel; those of the whole sample."""
        return np.nan if self.gsd is None else self.gsd

    def footprint(self, part: Part) -> NDArray[np.float64]:
        """Return west, south, east and north in degrees; those of the whole sample."""
        return np.array(self.box, np.float64)

    @property
    def whole(self) -> Place:
        """Where the sample lies."""
        return Place(np.nan if self.gsd is None else self.gsd, box(np.array(self.box, np.float64)))


@dataclass(frozen=True, slots=True)
class SampleMask(MaskFile):
    """The label of a sample."""

    def read(self, part: Part) -> NDArray[np.integer]:
        """Read the values of a window; see :meth:`MaskFile.read`."""
        with open_sample(self.path) as sample:
            return _inside(np.asarray(sample.data(LABEL)[()]).astype(np.int64), part)


def is_segmentation(folder: Path) -> bool:
    """Tell whether a folder is a segmentation task of GEO-Bench.

    Args:
        folder: The folder.

    Raises:
        ConfigError: If it is a task that cannot be read.
    """
    if not (folder / 'task_specs.pkl').is_file():
        return False
    return kind(read_task(folder).get('label_type')) in KINDS


def open_geobench_masks(folder: Path, bands: Sequence[str], gsd: float | None) -> Masked:
    """Open a task; the header of each sample is read.

    Args:
        folder: Its folder.
        bands: Bands to read, by number, name or common name; empty for all.
        gsd: Metres per pixel where neither samples nor task say.

    Raises:
        ConfigError: If it is not whole.
        BandsNotFoundError: If a band is not there.
    """
    task, notes = read_task(folder), list[str]()
    stated = task.get('spatial_resolution')
    known = TRUE_GSD.get(folder.resolve().name)
    if known:
        notes.append(f'its images are of {known:g} m, where the task states {stated} m')
    told = float(stated) if isinstance(stated, int | float) and stated > 0 else gsd or np.nan
    metres = known or told
    chosen = pick(bands, bands_of(task, folder, notes), metres)
    names = class_names(task.get('label_type'), folder)
    classes = make_classes(names, range(len(names)), None, 'of the task')
    rejected: list[Rejected] = []
    splits: dict[str, list[Scene]] = {}
    for part, samples in read_partition(folder).items():
        splits[PARTS[part]] = scenes = []
        for name in tqdm(samples, desc='looking', unit='sample', delay=1.0):
            path = folder / f'{name}.hdf5'
            try:
                scenes.append(_scene(str(path), chosen, metres, known))
            except ConfigError:
                raise
            except Exception as error:  # whatever is wrong with one, the others are read
                rejected.append(Rejected(str(path), explain(error)))
    dtypes = [scene.image.header.dtype for scenes in splits.values() for scene in scenes]
    if not dtypes:
        why = f': {rejected[0].path} {rejected[0].reason}' if rejected else ''
        raise ConfigError(f'{folder} holds no sample that can be used{why}')
    dtype = max(sorted(set(dtypes)), key=dtypes.count)
    found = {split: scenes for split, scenes in splits.items() if scenes}
    shown = tuple(band.name for band in chosen)
    return Masked(folder.resolve().name, classes, shown, dtype, found, None, notes, rejected)


def _scene(path: str, bands: Sequence[Band], metres: float, known: float | None) -> Scene:
    """Look at a sample; metres are where it does not say, or what is known against it.

    Raises:
        UnusableError: If it lacks a band, or its label is no mask of it.
    """
    stored = tuple(band.stored for band in bands)
    with open_sample(path) as sample:
        sides = [sample.data(name).shape for name in stored]
        shape = max(one[0] for one in sides), max(one[1] for one in sides)
        label = sample.data(LABEL)
        if label.shape != shape:
            raise UnusableError(f'has a label of {label.shape} for an image of {shape} pixels')
        dtype = str(sample.data(stored[0]).dtype)
        gsd, box = sample.place(stored[0], shape)
        gsd = known or gsd
    names = tuple(band.name for band in bands)
    header = Header(names, names, dtype, gsd)
    grid = PixelGrid(shape[1], shape[0])
    told = metres if np.isnan(gsd) else gsd
    image = SampleImage(
        path, grid, header, (), gsd=None if np.isnan(told) else told, stored=stored, box=tuple(box)
    )
    return Scene(image, SampleMask(path, grid))


def _inside[T: np.generic](values: NDArray[T], part: Part) -> NDArray[T]:
    rows, cols = slice(part.row, part.row + part.height), slice(part.col, part.col + part.width)
    return values[..., rows, cols]
