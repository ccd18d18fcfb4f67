"""Data sets of TorchGeo, and others like them, whose samples are an image and a label."""

import importlib
import inspect
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from torch import Tensor

from ...errors import ConfigError
from ..bands import choose
from ..find import Rejected
from ..formats import explain
from .halves import train_and_test
from .images import look
from .photos import RGB
from .samples import SampleSource, image_of, labelled_split
from .sets import Labelled
from .split import Split

#: Metres per pixel, where all images of a data set have one. Those of RESISC45 (0.2–30 m) and
#: PatternNet (0.06–4.7 m) have not.
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
    names = _bands(found, image_of(first, number))
    chosen = choose(bands, names, ['undefined'] * len(names), GSDS.get(found.__name__, 10.0))
    known = GSDS.get(found.__name__, gsd)
    sources = {split: SampleSource(one, chosen.indexes, known) for split, one in opened.items()}
    made = {split: labelled_split(source, split, rejected) for split, source in sources.items()}
    classes = _classes(first, made)
    if len(made) == 1:
        made = train_and_test(next(iter(made.values())), seed, notes)
    source = next(iter(sources.values()))
    if np.isnan(source.read(number).gsd):
        notes.append('the GSD of the images is not known; give it (--gsd METRES) if it is')
    dtype = _dtype(source, number)
    multilabel = next(iter(made.values())).labels.ndim == 2
    name = found.__name__
    return Labelled(name, classes, chosen.names, dtype, multilabel, made, notes, rejected)


def _open_splits(found: Any, root: Path, notes: list[str]) -> dict[str, Any]:
    """Open each split; a class that has none is opened as a whole."""
    argument = inspect.signature(found.__init__).parameters.get('split')
    if argument is None:
        return {'all': _open(found, root, '', ())}
    there = getattr(found, 'splits', None) or get_args(argument.annotation) or tuple(CALLED)
    first = {split: [one for one in names if one in there][:1] for split, names in CALLED.items()}
    called = {split: names[0] for split, names in first.items() if names}
    if not called:
        raise ConfigError(
            f'{found.__name__} has the splits {", ".join(map(str, there))}; train and test are '
            'needed'
        )
    every = tuple(called.values())
    opened = {split: _open(found, root, name, every) for split, name in called.items()}
    if 'test' not in opened and 'val' in opened:
        opened['test'] = opened.pop('val')
        notes.append('it has no test split: its validation split is tested on')
    return opened


def _open(found: Any, root: Path, split: str, every: Sequence[str]) -> Any:
    """Make a data set; what it says of missing files is said in our words."""
    from torchgeo.datasets import DatasetNotFoundError

    name = found.__name__
    try:
        return found(root, split=split) if split else found(root)
    except (FileNotFoundError, RuntimeError) as error:
        reason = '' if isinstance(error, DatasetNotFoundError) else f', or not whole: {error}'
        raise ConfigError(
            f'{name} is not in {root} (looked from {Path.cwd()}){reason}\nGive the folder it is in '
            f'(--root DIR), or {_how_to_get(found, root, every)}'
        ) from error
    except Exception as error:  # a class may raise anything
        raise ConfigError(f'{name} cannot be opened in {root}: {error}') from error


def _how_to_get(found: Any, root: Path, splits: Sequence[str]) -> str:
    if 'download' not in inspect.signature(found.__init__).parameters:
        return 'get it by hand: the documentation of its class says where'
    module = found.__module__
    module = 'torchgeo.datasets' if module.startswith('torchgeo.datasets.') else module
    call = f"{found.__name__}('{root}', download=True)"
    if splits:
        call = f"[{found.__name__}('{root}', split, download=True) for split in {splits}]"
    return f'fetch it with Python: from {module} import {found.__name__}; {call}'


def _readable(dataset: Any, root: Path) -> int:
    """Return the number of an image that can be read, of the first few."""
    reason = 'it holds none'
    for number in range(min(len(dataset), PROBED)):
        try:
            image_of(dataset, number)
        except ConfigError:
            raise
        except Exception as error:  # whatever is wrong with it, another may be read
            reason = explain(error)
        else:
            return number
    raise ConfigError(f'no image of {type(dataset).__name__} in {root} can be read: {reason}')


def _classes(dataset: Any, splits: dict[str, Split]) -> tuple[str, ...]:
    """Return the names of the classes; numbers where the data set does not tell."""
    labels = [split.labels for split in splits.values()]
    count = max(of.shape[1] if of.ndim == 2 else int(of.max()) + 1 for of in labels if len(of))
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
