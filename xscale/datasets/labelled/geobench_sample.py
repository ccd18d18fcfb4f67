"""One sample of GEO-Bench: an HDF5 file of bands, and a pickle of what is known of them."""

import ast
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from affine import Affine
from numpy.typing import NDArray

from ... import geo
from ...errors import ConfigError, UnusableError
from ..limits import check_pixels, check_references
from .split import NOWHERE
from .unpickle import StandIn, fields, load, texts


class Sample:
    """An open sample.

    Attributes:
        file: Its HDF5 file.
        about: What is known of it: ``label``, and of each band by its key.
        keys: Keys of its bands, by what they are called.
    """

    def __init__(self, file: Any, about: dict[str, Any]) -> None:
        """Find its bands.

        Args:
            file: Its HDF5 file.
            about: What is known of it.

        Raises:
            UnusableError: If a band is of several dates.
        """
        self.file, self.about = file, about
        self.keys: dict[str, str] = {}
        for key in texts(about.get('bands_order')) or tuple(file):
            told = about.get(key)
            info = fields(told.get('band_info')) if isinstance(told, dict) else {}
            (name,) = texts([info.get('name') or key]) or ('',)
            if name in self.keys:
                raise UnusableError(f'has the band {name} of several dates; one is needed')
            self.keys[name] = key

    def data(self, name: str) -> Any:
        """Return the pixels of a band, not yet read.

        Args:
            name: What it is called.

        Raises:
            UnusableError: If it is not there, or lies in another file, or is no picture.
        """
        key = self.keys.get(name, name)
        if '/' in key:
            # Whatever links there are on it would be followed.
            raise UnusableError(f'its band {name} is at a path, which is not followed')
        link = self.file.get(key, getlink=True)
        if link is None:
            raise UnusableError(f'has no band {name}, but {", ".join(self.keys)}')
        if type(link).__name__ != 'HardLink':
            raise UnusableError(f'its band {name} is a link, which is not followed')
        found = self.file[key]
        # Of what is a group, and no data set, there is no shape.
        if len(getattr(found, 'shape', ())) != 2 or found.dtype.kind not in 'biuf':
            raise UnusableError(f'its band {name} is no picture (H, W) of numbers')
        if found.external or found.is_virtual:
            raise UnusableError(f'its band {name} lies in another file, which is not opened')
        check_pixels(found.size * found.dtype.itemsize, os.path.getsize(self.file.filename))
        return found

    def image(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Read bands; coarser ones are brought to the sides of the finest.

        Args:
            names: What they are called.

        Returns:
            Values, (C, H, W).
        """
        bands = [np.asarray(self.data(name)[()], np.float32) for name in names]
        sides = tuple(max(band.shape[axis] for band in bands) for axis in (0, 1))
        return np.stack([_resized(band, sides) for band in bands])

    def place(self, name: str, shape: Sequence[int]) -> tuple[float, NDArray[np.float64]]:
        """Return where the sample lies.

        Args:
            name: The band whose word counts.
            shape: Height and width of the image in pixels.

        Returns:
            Metres per pixel, and west, south, east, north in degrees; NaN where it does not say.
        """
        told = self.about.get(self.keys.get(name, name))
        told = told if isinstance(told, dict) else {}
        metres = told.get('spatial_resolution')
        metres = metres if isinstance(metres, int | float) and metres > 0 else np.nan
        height, width = self.data(name).shape
        # Where a coarser band was brought to a finer one's sides, so is its resolution.
        gsd = metres * (height * width / (shape[0] * shape[1])) ** 0.5
        return gsd, _footprint(told.get('crs'), told.get('transform'), (width, height))


def _resized(band: NDArray[np.float32], sides: tuple[int, ...]) -> NDArray[np.float32]:
    if band.shape == sides:
        return band
    pixels = torch.from_numpy(band)[None, None]
    return F.interpolate(pixels, sides, mode='bilinear', align_corners=False)[0, 0].numpy()


def _footprint(crs: Any, transform: Any, sides: tuple[int, int]) -> NDArray[np.float64]:
    """Return the box of a grid in degrees; NaN where it is not said, or makes no sense."""
    told = crs.state or (*crs.args, '')[0] if isinstance(crs, StandIn) else crs
    numbers = transform.args if isinstance(transform, StandIn) else ()
    if not isinstance(told, str) or not told or len(numbers) < 6:
        return NOWHERE
    try:
        check_references(told.encode())
        box = geo.footprint(told, Affine(*map(float, numbers[:6])), (0, 0, *sides))
    except Exception:  # a sample is of use without a place
        return NOWHERE
    return box if np.isfinite(box).all() else NOWHERE


@contextmanager
def open_sample(path: str) -> Iterator[Sample]:
    """Open a sample.

    Args:
        path: Its file.

    Raises:
        ConfigError: If h5py is not installed.
        UnusableError: If it is damaged.
        OSError: If it cannot be read.
    """
    try:
        import h5py
    except ImportError as error:
        raise ConfigError(
            'GEO-Bench keeps its samples in HDF5, which h5py reads: pip install h5py'
        ) from error
    if not os.path.exists(path):
        raise UnusableError('is not there')
    with h5py.File(path, 'r') as file:
        text = file.attrs.get('pickle')
        try:
            data = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            data = None
        about = load(data) if isinstance(data, bytes) else None
        if not isinstance(about, dict):
            raise UnusableError("is no sample of GEO-Bench: its attribute 'pickle' describes none")
        yield Sample(file, about)
