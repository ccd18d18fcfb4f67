"""TorchGeo's classes of rasters as rules: which files, which band each holds, and when."""

import importlib
import os
import re
import string
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import ConfigError
from .globs import Glob, whole_path


@dataclass(frozen=True, slots=True)
class ClassNames:
    """How a :class:`~torchgeo.datasets.RasterDataset` calls its files.

    Attributes:
        glob: Its ``filename_glob``.
        regex: Its ``filename_regex``, found at the beginning of a file's name.
        bands: What stands for the group ``band`` of it in files of one band each; else empty.
        date_format: Its ``date_format``, of the groups ``date``, or ``start`` and ``stop``.
        always: First and last moment of files whose names hold no date.
    """

    glob: str
    regex: re.Pattern[str]
    bands: tuple[str, ...]
    date_format: str
    always: tuple[pd.Timestamp, pd.Timestamp]

    def means(self, path: str) -> bool:
        """Return whether a file is one of the class; see :meth:`Glob.means`."""
        if self.bands:
            return self.divide(path) is not None
        path = whole_path(path)
        named = self.regex.match(os.path.basename(path))
        return named is not None and Glob(_filled(self.glob, '*')).means(path)

    def meant(self, paths: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
        """Return which files are of the class, for paths of shape (N,)."""
        return np.fromiter((self.means(path) for path in paths.to_pylist()), bool, len(paths))

    def divide(self, path: str) -> tuple[str, str, str] | None:
        """Divide the path of a file with one band; see :meth:`Glob.divide`."""
        folder, name = os.path.split(whole_path(path))
        found = self.regex.match(name) if self.bands else None
        if not found or found['band'] not in self.bands:
            return None
        head = os.path.join(folder, name[: found.start('band')])
        tail = name[found.end('band') :]
        # The glob may mean the files of one band alone, and the others are found by that.
        for band in self.bands:
            if Glob(_filled(self.glob, band)).means(f'{head}{band}{tail}'):
                return head, found['band'], tail
        return None

    def divide_all(self, paths: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
        """Divide the paths of files that are meant, as :meth:`divide` does."""
        divided = (self.divide(path) or ('', '', '') for path in paths.to_pylist())
        head, band, tail = zip(*divided, strict=True)
        return pa.array(head), pa.array(band), pa.array(tail)

    def dates(self, path: str) -> tuple[pd.Timestamp, pd.Timestamp]:
        """Return the first and last moment of a file of the class.

        Args:
            path: Its path.
        """
        from torchgeo.datasets.utils import disambiguate_timestamp

        found = self.regex.match(os.path.basename(whole_path(path)))
        groups = found.groupdict() if found else {}
        ends = [groups.get('date') or groups.get(end) for end in ('start', 'stop')]
        if not all(ends):
            return self.always
        try:
            first, last = (disambiguate_timestamp(end, self.date_format) for end in ends)
        except ValueError:
            return self.always
        return first[0].as_unit('ns'), last[1].as_unit('ns')


def class_fields(named: object, where: str) -> dict[str, Any]:
    """Make a rule of a class.

    Args:
        named: The class, or its dotted path such as ``torchgeo.datasets.Sentinel2``.
        where: Who names it, for messages.

    Returns:
        What the rule says, as in :class:`xscale.datasets.rules.Rule`.

    Raises:
        ConfigError: If it cannot be imported, or is no class of images.
    """
    found = _image_class(named, where)
    bands = _bands(found)
    try:
        regex = re.compile(_filled(found.filename_regex, '[^_.]+'), re.VERBOSE)
    except re.error as error:
        raise ConfigError(f'{where}: filename_regex of {named}: {error}') from None
    if found.separate_files and (not bands or 'band' not in regex.groupindex):
        raise ConfigError(
            f'{where}: {named} has a file for each band (separate_files), but no names of bands '
            '(all_bands), or no group band in its filename_regex'
        )
    parts = bands if found.separate_files else ()
    always = pd.Timestamp(found.mint).as_unit('ns'), pd.Timestamp(found.maxt).as_unit('ns')
    return {
        'match': found.filename_glob,
        'name': found.__name__,
        'bands': () if found.separate_files else bands,
        'nodata': None if found.nodata is None else float(found.nodata),
        'mean': {},
        'std': {},
        'source': named.rpartition('.')[0] if isinstance(named, str) else found.__module__,
        'parts': dict(zip(parts, parts, strict=True)),
        'rgb': tuple(found.rgb_bands),
        'naming': ClassNames(found.filename_glob, regex, parts, found.date_format, always),
    }


def _image_class(named: object, where: str) -> Any:
    from torchgeo.datasets import RasterDataset

    found = _load(named, where) if isinstance(named, str) else named
    if not (isinstance(found, type) and issubclass(found, RasterDataset)):
        raise ConfigError(f'{where}: {named} is no RasterDataset of TorchGeo; a subclass is needed')
    images: Any = found
    if not images.is_image:
        raise ConfigError(f'{where}: {named} holds labels (is_image is False); images are needed')
    return images


def _load(path: str, where: str) -> object:
    """Import a class, from the working folder too, as a program run by its file would."""
    module, _, name = path.rpartition('.')
    sys.path.append(os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f'{where}: {path} cannot be imported: {error}') from None
    finally:
        sys.path.remove(os.getcwd())


def _bands(found: Any) -> tuple[str, ...]:
    """Return the names of a class's bands, those it reads by default first."""
    if found.all_bands:
        return tuple(found.all_bands)
    # Landsat's have bands that are read by default, and tell of others by their wavelengths.
    default, others = (getattr(found, name, ()) for name in ('default_bands', 'wavelengths'))
    if isinstance(default, property):
        return ()
    return tuple(dict.fromkeys([*default, *others]))


class _Filler(string.Formatter):
    """Puts one text into all places that a class fills when it is made."""

    def __init__(self, text: str) -> None:
        self.text = text

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        return self.text


def _filled(pattern: str, text: str) -> str:
    """Fill the places, ``{}`` or ``{state}``, where a pattern has any; ``{8}`` is none."""
    if not re.search(r'\{(?:[a-z_]+|)\}', pattern):
        return pattern
    return _Filler(text).format(pattern)
