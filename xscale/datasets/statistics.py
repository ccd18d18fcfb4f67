"""What the values of a raster look like: masks, quantiles, and sensors of like files."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader

from ..types import Sensor

#: Pixels a side of the thinned-out copy of a raster from which its statistics are taken.
SAMPLE = 256

#: Quantiles kept of each band, the middles of 98 equal shares; leaving out the outer 1 % makes
#: the statistics robust.
QUANTILES = np.linspace(0.015, 0.985, 98)


def alpha_mask(source: DatasetReader) -> int:
    """Return the number of an alpha band that is a mask, 0 if there is none.

    NAIP's near infrared is often marked alpha and is data: a mask takes only 0 and the maximum.

    Args:
        source: The raster.
    """
    for index, colour in enumerate(source.colorinterp, 1):
        if colour == ColorInterp.alpha and np.dtype(source.dtypes[index - 1]).kind == 'u':
            values = np.unique(_thinned(source, [index]))
            full = np.iinfo(source.dtypes[index - 1]).max
            if set(values.tolist()) <= {0, full}:
                return index
    return 0


def _thinned(source: DatasetReader, indexes: Sequence[int]) -> NDArray[Any]:
    """Read about SAMPLE pixels a side, the values as they are."""
    shape = (len(indexes), min(source.height, SAMPLE), min(source.width, SAMPLE))
    return source.read(list(indexes), out_shape=shape, resampling=Resampling.nearest)


def quantiles(
    source: DatasetReader, indexes: Sequence[int], mask: int, nodata: float | None
) -> NDArray[np.float64] | None:
    """Return the quantiles of each band over valid pixels.

    Args:
        source: The raster.
        indexes: Bands, from 1.
        mask: Number of an alpha band that is a mask, 0 for none.
        nodata: Value that is no data.

    Returns:
        Shape (bands, Q); None if no pixel is valid.
    """
    values = _thinned(source, indexes).astype(np.float64)
    valid = np.isfinite(values).all(0)
    if nodata is not None:
        valid &= (values != nodata).all(0)
    if mask:
        valid &= _thinned(source, [mask])[0] > 0
    elif source.mask_flag_enums[indexes[0] - 1] == [MaskFlags.per_dataset]:
        valid &= source.read_masks(indexes[0], out_shape=values.shape[1:]) > 0
    if not valid.any():
        return None
    return np.quantile(values[:, valid], QUANTILES, axis=1).T


def group_sensors(records: list[dict[str, Any]]) -> tuple[Sensor, ...]:
    """Group the files whose bands mean the same and pool their statistics.

    Args:
        records: Descriptions of files, with ``key`` and ``quantiles``; ``sensor`` is set.
    """
    keys = sorted({record['key'] for record in records})
    sensors = []
    for number, key in enumerate(keys):
        group = [record for record in records if record['key'] == key]
        for record in group:
            record['sensor'] = number
        # Each quantile stands for an equal share of a file's pixels: files count alike.
        pooled = np.concatenate([record['quantiles'] for record in group], axis=1)
        std = pooled.std(axis=1)
        std[std == 0] = 1.0
        source, bands, dtype = key
        name = f'{source} {",".join(bands)} {dtype}'
        sensors.append(
            Sensor(name, bands, tuple(pooled.mean(axis=1).tolist()), tuple(std.tolist()))
        )
    return tuple(sensors)
