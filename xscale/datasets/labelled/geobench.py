"""A classification task of GEO-Bench v1, read in ``geobench``'s format without that package.

Lacoste et al., *GEO-Bench: Toward Foundation Models for Earth Monitoring*, NeurIPS 2023. A task
is a folder of ``task_specs.pkl``, ``default_partition.json`` and an HDF5 file for each sample.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ...errors import ConfigError, UnusableError
from ..find import Rejected
from ..formats import explain
from ..ground import Place, box
from .geobench_bands import Band, bands_of, pick
from .geobench_sample import Sample, open_sample
from .sets import Labelled
from .split import Picture, Split
from .unpickle import array, fields, kind, load, texts

#: What can be evaluated, of the kinds of labels there are, and whether one has several classes.
KINDS = {'Classification': False, 'MultiLabelClassification': True}

#: Names of the splits in a partition.
PARTS = {'train': 'train', 'valid': 'val', 'test': 'test'}


class Samples:
    """Samples of a task.

    Attributes:
        paths: Their files.
        bands: The bands to read.
        gsd: Metres per pixel where a sample does not say; NaN where nobody does.
        identity: What, besides the files, decides how one is read.
    """

    def __init__(self, paths: Sequence[str], bands: Sequence[Band], gsd: float) -> None:
        """Take note of them.

        Args:
            paths: Their files.
            bands: The bands to read.
            gsd: Metres per pixel where a sample does not say.
        """
        self.paths, self.bands, self.gsd = list(paths), tuple(bands), gsd
        self.identity = f'geobench {[band.stored for band in bands]} {gsd}'

    def read(self, number: int) -> Picture:
        """Read a sample.

        Args:
            number: Its number.

        Raises:
            UnusableError: If it is damaged, or lacks a band.
            OSError: If it cannot be read.
        """
        with open_sample(self.paths[number]) as sample:
            image = sample.image([band.stored for band in self.bands])
            gsd, footprint = sample.place(self.bands[0].stored, image.shape[1:])
        valid = np.isfinite(image).all(0)
        image[:, ~valid] = 0
        return Picture(image, valid, self.gsd if np.isnan(gsd) else gsd, footprint)

    def look(self, number: int) -> Place:
        """Look at the header of a sample.

        Args:
            number: Its number.

        Returns:
            Where it lies.

        Raises:
            UnusableError: If it is damaged, or lacks a band.
            OSError: If it cannot be read.
        """
        with open_sample(self.paths[number]) as sample:
            sides = [sample.data(band.stored).shape for band in self.bands]
            gsd, footprint = sample.place(self.bands[0].stored, np.max(sides, axis=0).tolist())
        return Place(self.gsd if np.isnan(gsd) else gsd, box(footprint))


def open_geobench(folder: Path, bands: Sequence[str], gsd: float | None) -> Labelled:
    """Open a task; the header of each sample is read, for its label lies there.

    Args:
        folder: Its folder.
        bands: Bands to read, by number, name or common name; empty for all.
        gsd: Metres per pixel where neither samples nor task say.

    Raises:
        ConfigError: If it is no task of classification, or not whole.
        BandsNotFoundError: If a band is not there.
    """
    task = read_task(folder)
    multilabel = _multilabel(task.get('label_type'), folder)
    classes = class_names(task.get('label_type'), folder)
    stated = task.get('spatial_resolution')
    metres = float(stated) if isinstance(stated, int | float) and stated > 0 else gsd or np.nan
    notes: list[str] = []
    chosen = pick(bands, bands_of(task, folder, notes), metres)
    rejected: list[Rejected] = []
    splits, dtypes = {}, []
    for part, names in read_partition(folder).items():
        paths = [str(folder / f'{name}.hdf5') for name in names]
        found = _labels(paths, len(classes), multilabel, chosen, rejected)
        dtypes += [dtype for _, _, dtype in found]
        good = [path for path, _, _ in found]
        labels = _stacked([label for _, label, _ in found], len(classes), multilabel)
        splits[PARTS[part]] = Split(Samples(good, chosen, metres), labels, good)
    if np.isnan(metres):
        notes.append('the GSD is not known where samples do not say; give it (--gsd METRES)')
    return Labelled(
        folder.resolve().name,
        classes,
        tuple(band.name for band in chosen),
        max(set(dtypes), key=dtypes.count, default=''),
        multilabel,
        splits,
        notes,
        rejected,
    )


def read_task(folder: Path) -> dict[str, Any]:
    """Read what the task is."""
    file = folder / 'task_specs.pkl'
    try:
        task = fields(load(file.read_bytes()))
    except (UnusableError, OSError) as error:
        raise ConfigError(f'{file} {explain(error)}') from error
    if 'label_type' not in task or 'bands_info' not in task:
        raise ConfigError(
            f'{file} describes no task of GEO-Bench: label_type and bands_info are needed; '
            f'it holds {", ".join(task) or "nothing"}'
        )
    return task


def _multilabel(label: Any, folder: Path) -> bool:
    if kind(label) not in KINDS:
        raise ConfigError(
            f'{folder} is a task of {kind(label)}; images are evaluated that have one class '
            f'(Classification) or several (MultiLabelClassification) as a whole'
        )
    return KINDS[kind(label)]


def class_names(label: Any, folder: Path) -> tuple[str, ...]:
    """Return the names of the classes; numbers where the task does not tell."""
    told = fields(label)
    count = told.get('n_classes')
    if not isinstance(count, int) or not 0 < count < 1_000_000:
        raise ConfigError(f'{folder}/task_specs.pkl: n_classes is {count!r}; a number is needed')
    # The three names that the attribute had.
    for key in ('_class_names', 'class_name', 'class_names'):
        names = texts(told.get(key))
        if len(names) == count:
            return names
    return tuple(map(str, range(count)))


def read_partition(folder: Path) -> dict[str, list[str]]:
    """Read which sample is in which split."""
    file = folder / 'default_partition.json'
    try:
        parts = json.loads(file.read_text('utf-8'))
        found = {part: [str(name) for name in parts.get(part, ())] for part in PARTS}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f'{file} cannot be read as a partition, lists of samples named train, valid and test: '
            f'{explain(error)}'
        ) from error
    for name in (name for names in found.values() for name in names):
        if Path(name).name != name:
            raise ConfigError(f'{file}: a sample {name!r} is not in the folder of the task')
    return {part: names for part, names in found.items() if names}


def _labels(
    paths: Sequence[str],
    count: int,
    multilabel: bool,
    bands: Sequence[Band],
    rejected: list[Rejected],
) -> list[tuple[str, np.ndarray, str]]:
    """Read the labels of samples, and see whether they have the bands.

    Returns:
        The path, the label and the dtype of each that can be read.
    """
    found = []
    for path in tqdm(paths, desc='labels', unit='sample', delay=1.0):
        try:
            with open_sample(path) as sample:
                label = _label(sample, count, multilabel)
                dtypes = [str(sample.data(band.stored).dtype) for band in bands]
                found.append((path, label, dtypes[0]))
        except ConfigError:
            raise
        except Exception as error:  # whatever is wrong with one, the others are read
            rejected.append(Rejected(path, explain(error)))
    return found


def _label(sample: Sample, count: int, multilabel: bool) -> np.ndarray:
    """Return the label of a sample.

    Raises:
        UnusableError: If it has none that fits the task.
    """
    label = array(sample.about.get('label'))
    fits = label.shape == ((count,) if multilabel else ())
    if not fits or label.min() < 0 or label.max() >= (2 if multilabel else count):
        raise UnusableError(
            f'has a label of shape {label.shape} that does not fit the {count} classes of its task'
        )
    return label


def _stacked(labels: Sequence[np.ndarray], count: int, multilabel: bool) -> Tensor:
    if multilabel:
        return torch.from_numpy(np.array(labels).reshape(-1, count)).bool()
    return torch.from_numpy(np.array(labels, np.int64))
