"""Data sets of TorchGeo, and others like them, whose samples are an image and a label."""

import importlib
import inspect
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ...errors import ConfigError
from ..bands import choose
from ..find import Rejected
from ..formats import explain
from .halves import train_and_test
from .images import RGB, is_photo, look, place
from .sets import NOWHERE, Labelled, Picture, Split

#: Metres per pixel, where all images of a data set have one. RESISC45 (0.2–30 m), PatternNet
#: (0.06–4.7 m) and MLRSNet have no such number.
GSDS = {
    # Sentinel-2's bands, all at 10 m. Helber et al., J-STARS 2019.
    **dict.fromkeys(('EuroSAT', 'EuroSATSpatial', 'EuroSAT100'), 10.0),
    # One foot. Yang and Newsam, SIGSPATIAL 2010.
    'UCMerced': 0.3048,
    # NAIP. Johnson et al., FireRisk, 2023.
    'FireRisk': 1.0,
}

#: What the splits of such classes are called.
CALLED = {'train': ('train',), 'val': ('val', 'valid', 'validation'), 'test': ('test',)}

#: Images that are tried to find one that can be read.
PROBED = 16

#: Names of all bands of a class, as TorchGeo's call the attribute.
BAND_NAMES = ('all_band_names', 'all_bands')


def class_names() -> list[str]:
    """Return the names of TorchGeo's data sets of images without a place."""
    import torchgeo.datasets as theirs

    found = ((name, getattr(theirs, name)) for name in theirs.__all__)
    return [name for name, one in found if _is_set(one)]


def find_class(name: str) -> Any:
    """Find a data set by the name of its class.

    Args:
        name: Of a class of TorchGeo's, or the dotted path of another.

    Returns:
        The class; None where there is none.

    Raises:
        ConfigError: If a dotted path leads to something else.
    """
    import torchgeo.datasets as theirs

    module, _, last = name.rpartition('.')
    if not module:
        found = getattr(theirs, name, None)
        return found if _is_set(found) else None
    sys.path.append(os.getcwd())
    try:
        found = getattr(importlib.import_module(module), last)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f'{name} is no folder (looked from {Path.cwd()}), and cannot be imported: {error}'
        ) from None
    finally:
        sys.path.remove(os.getcwd())
    if not _is_set(found):
        raise ConfigError(
            f'{name} is no NonGeoDataset of TorchGeo: a class is needed whose samples are an '
            'image and a label'
        )
    return found


def _is_set(found: object) -> bool:
    from torchgeo.datasets import NonGeoDataset

    return inspect.isclass(found) and issubclass(found, NonGeoDataset)


def open_torchgeo(
    found: Any, root: Path, bands: Sequence[str], gsd: float | None, seed: int
) -> Labelled:
    """Open a data set of a class.

    Args:
        found: The class.
        root: Its folder.
        bands: Bands to read; empty for all.
        gsd: Metres per pixel where neither the class nor its files say.
        seed: Of the split where it has none.

    Raises:
        ConfigError: If it is not there, or cannot be read, or its samples have no label.
        BandsNotFoundError: If a band is not there.
    """
    notes: list[str] = []
    rejected: list[Rejected] = []
    opened = _open_splits(found, root, notes)
    first = next(iter(opened.values()))
    number = _readable(first, root)
    names = _bands(found, _image_of(first, number))
    chosen = choose(bands, names, ['undefined'] * len(names), GSDS.get(found.__name__, 10.0))
    known = GSDS.get(found.__name__, gsd)
    sources = {split: SampleSource(one, chosen.indexes, known) for split, one in opened.items()}
    made = {split: _split(source, split, rejected) for split, source in sources.items()}
    classes = _classes(first, made)
    if len(made) == 1:
        made = train_and_test(next(iter(made.values())), seed, notes)
    source = next(iter(sources.values()))
    if np.isnan(source.read(number).gsd):
        notes.append('the GSD of the images is not known; give it (--gsd METRES) if it is')
    dtype = _dtype(source, number)
    multilabel = made['train'].labels.ndim == 2
    shown = found.__name__
    return Labelled(shown, classes, chosen.names, dtype, multilabel, made, notes, rejected)


def _open_splits(found: Any, root: Path, notes: list[str]) -> dict[str, Any]:
    """Open each split; a class that has none is opened as a whole."""
    argument = inspect.signature(found.__init__).parameters.get('split')
    if argument is None:
        return {'all': _open(found, root)}
    there = getattr(found, 'splits', None) or get_args(argument.annotation) or tuple(CALLED)
    opened = {}
    for split, called in CALLED.items():
        name = next((one for one in called if one in there), None)
        if name:
            opened[split] = _open(found, root, split=name)
    if not opened:
        raise ConfigError(
            f'{found.__name__} has the splits {", ".join(map(str, there))}; train and test are '
            'needed'
        )
    if 'test' not in opened and 'val' in opened:
        opened['test'] = opened.pop('val')
        notes.append('it has no test split: its validation split is tested on')
    return opened


def _open(found: Any, root: Path, **options: Any) -> Any:
    """Make a data set; what it says of missing files is said in our words."""
    try:
        return found(root, **options)
    except Exception as error:  # a class may raise anything
        if not isinstance(error, FileNotFoundError | RuntimeError):
            raise ConfigError(f'{found.__name__} cannot be opened in {root}: {error}') from error
        how = 'get it by hand: its documentation says where'
        if 'download' in inspect.signature(found.__init__).parameters:
            arguments = [f"'{root}'", *(f'{key}={value!r}' for key, value in options.items())]
            how = (
                f'fetch it with Python: from {found.__module__} import {found.__name__}; '
                f'{found.__name__}({", ".join(arguments)}, download=True)'
            )
        raise ConfigError(
            f'{found.__name__} is not in {root} (looked from {Path.cwd()}), or not whole: '
            f'{error}\nGive the folder it is in (--root DIR), or {how}'
        ) from error


class SampleSource:
    """Images of a data set whose samples are an image and a label.

    Attributes:
        dataset: The data set.
        indexes: Numbers of the bands that are taken, from 1.
        gsd: Metres per pixel of those whose files do not say, or None.
        paths: The files, where the data set tells them.
        identity: What, besides the files, decides how one is read.
    """

    def __init__(self, dataset: Any, indexes: Sequence[int], gsd: float | None) -> None:
        """Take note of it.

        Args:
            dataset: The data set.
            indexes: Numbers of the bands to take, from 1.
            gsd: Metres per pixel of those whose files do not say.
        """
        self.dataset, self.indexes, self.gsd = dataset, list(indexes), gsd
        samples = getattr(dataset, 'samples', None)
        files = isinstance(samples, list) and all(isinstance(one, tuple) for one in samples)
        self.paths = [str(one[0]) for one in samples] if files and samples else []
        kind = type(dataset)
        self.identity = f'{kind.__module__}.{kind.__name__} {self.indexes} {gsd}'

    def read(self, number: int) -> Picture:
        """Read an image.

        Args:
            number: Its number.

        Raises:
            Exception: If it cannot be read.
        """
        image = _image_of(self.dataset, number)[[index - 1 for index in self.indexes]]
        gsd, footprint = np.nan if self.gsd is None else self.gsd, NOWHERE
        if self.paths and not is_photo(self.paths[number]):
            measured, footprint = place(self.paths[number])
            gsd = gsd if np.isnan(measured) else measured
        valid = image.isfinite().all(0)
        return Picture(image.where(valid, 0).numpy(), valid.numpy(), gsd, footprint)

    def look(self, number: int) -> None:
        """Look at the header of an image; without a file, it was read for its label.

        Args:
            number: Its number.

        Raises:
            Exception: If it cannot be read.
        """
        if self.paths:
            look(self.paths[number], ())


def _readable(dataset: Any, root: Path) -> int:
    """Return the number of an image that can be read, of the first few."""
    reason = 'it holds none'
    for number in range(min(len(dataset), PROBED)):
        try:
            _image_of(dataset, number)
        except ConfigError:
            raise
        except Exception as error:  # whatever is wrong with it, another may be read
            reason = explain(error)
        else:
            return number
    raise ConfigError(f'no image of {type(dataset).__name__} in {root} can be read: {reason}')


def _image_of(dataset: Any, number: int) -> Tensor:
    """Return the image of a sample, (C, H, W) float32."""
    sample = dataset[number]
    image = sample.get('image') if isinstance(sample, dict) else None
    if not isinstance(image, Tensor) or image.ndim != 3 or 'label' not in sample:
        raise ConfigError(
            f'{type(dataset).__name__}: a sample holds '
            f'{", ".join(sample) if isinstance(sample, dict) else type(sample).__name__}; an '
            'image (C, H, W) and a label are needed'
        )
    return image.float()


def _split(source: SampleSource, split: str, rejected: list[Rejected]) -> Split:
    """Find the labels of a data set: listed, or else read sample by sample."""
    dataset = source.dataset
    names = source.paths or [f'{split} {number}' for number in range(len(dataset))]
    listed = getattr(dataset, 'targets', None)
    if source.paths and isinstance(listed, list):
        return Split(source, torch.tensor(listed, dtype=torch.int64), names)
    rows, found = [], []
    for number in tqdm(range(len(dataset)), desc=f'labels of {split}', unit='image', delay=1.0):
        try:
            found.append(torch.as_tensor(dataset[number]['label']))
            rows.append(number)
        except Exception as error:  # whatever is wrong with one, the others are read
            rejected.append(Rejected(names[number], explain(error)))
    labels = torch.stack(found) if found else torch.zeros(0)
    if labels.ndim > 2:
        raise ConfigError(
            f'{type(dataset).__name__}: its labels are pictures of shape '
            f'{tuple(labels.shape[1:])}; one class, or one number for each class, is needed'
        )
    labels = labels.bool() if labels.ndim == 2 else labels.long()
    return Split(source, labels, [names[row] for row in rows], rows)


def _classes(dataset: Any, splits: dict[str, Split]) -> tuple[str, ...]:
    """Return the names of the classes; numbers where the data set does not tell."""
    labels = [split.labels for split in splits.values()]
    count = labels[0].shape[1] if labels[0].ndim == 2 else max(int(of.max()) for of in labels) + 1
    told = getattr(dataset, 'classes', None)
    if isinstance(told, list | tuple) and len(told) >= count:
        return tuple(map(str, told))
    return tuple(map(str, range(count)))


def _bands(found: Any, image: Tensor) -> list[str]:
    """Return the names of a sample's channels."""
    count = len(image)
    for attribute in BAND_NAMES:
        names = getattr(found, attribute, None)
        if isinstance(names, list | tuple) and len(names) == count:
            return list(names)
    return list(RGB) if count == 3 else [str(number) for number in range(1, count + 1)]


def _dtype(source: SampleSource, number: int) -> str:
    """Return the dtype of the files; where they are not told, the least that holds an image."""
    if source.paths:
        return look(source.paths[number], ()).dtype
    image = source.read(number).image
    if (image != image.round()).any() or image.min() < 0:
        return 'float32'
    return 'uint8' if image.max() <= 255 else 'uint16'
