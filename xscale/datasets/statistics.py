"""What a raster's values look like: masks, where there is data, robust mean and deviation."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from .remote import is_fetched
from .thinned import thinned, thinned_mask

#: Pixels a side of the thinned-out copy from which values are taken, and of the one that looks
#: for missing data; a raster no larger is looked at whole.
SAMPLE, FINEST = 256, 1024

#: Places where a band marked alpha is looked at in full, if overviews leave it in doubt.
LOOKS = 16

#: Values of a thinned-out copy over all bands: a raster of many bands is thinned out more, and one
#: that is fetched is sooner.
MOST_VALUES, MOST_FETCHED = 2**24, 2**22

#: Quantiles kept of each band, the middles of 98 equal shares; leaving out the outer 1 % makes
#: the statistics robust.
QUANTILES = np.linspace(0.015, 0.985, 98)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a thinned-out look at a raster found.

    Attributes:
        mean: Mean of each band over valid pixels, without the outer 1 %, (bands,); NaN where a
            band has none.
        std: Standard deviation, likewise.
        valid: True where all bands that hold any data hold some, (H, W).
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    valid: NDArray[np.bool_]


def alpha_mask(source: DatasetReader) -> int:
    """Return the number of an alpha band that is a mask, 0 if there is none.

    NAIP's near infrared is often marked alpha and is data: a mask takes only 0 and the maximum.

    Args:
        source: The raster.
    """
    for index, colour in enumerate(source.colorinterp, 1):
        if colour == ColorInterp.alpha and np.dtype(source.dtypes[index - 1]).kind == 'u':
            full = np.iinfo(source.dtypes[index - 1]).max
            between = ~np.isin(thinned(source, [index], SAMPLE)[0], (0, full))
            if not between.any() or _blended(source, index, between, full):
                return index
    return 0


def _blended(source: DatasetReader, index: int, between: NDArray[np.bool_], full: int) -> bool:
    """Tell whether values between 0 and full come from averaged overviews alone."""
    if not source.overviews(index):
        return False
    step = source.height / between.shape[0], source.width / between.shape[1]
    places = np.argwhere(between)
    for row, col in places[:: math.ceil(len(places) / LOOKS)].tolist():
        window = Window(int(col * step[1]), int(row * step[0]), *(math.ceil(s) for s in step[::-1]))
        if not np.isin(source.read(index, window=window), (0, full)).all():
            return False
    return True


def survey(source: DatasetReader, mask: int, nodata: float | None) -> Survey:
    """Look at a raster thinned out.

    Args:
        source: The raster.
        mask: Number of a band that is a mask, 0 for none.
        nodata: Value that is no data.
    """
    indexes, values, there, valid = _look(source, mask, nodata)
    mean, std = np.full((2, source.count), np.nan)
    picked = np.flatnonzero(valid)
    picked = picked[:: max(1, len(picked) // SAMPLE**2)]
    # By radix where values have few bits, twenty times as fast.
    kind: Literal['stable', 'quicksort'] = 'stable' if values.itemsize <= 2 else 'quicksort'
    for index, band, some in zip(indexes, values, there.any((1, 2)), strict=True):
        if len(picked) and some:
            ordered = np.sort(band.flat[picked], kind=kind).astype(np.float64)
            quantiles = np.interp(QUANTILES * (len(picked) - 1), np.arange(len(picked)), ordered)
            mean[index - 1], std[index - 1] = quantiles.mean(), quantiles.std()
    return Survey(mean, std, valid)


def survey_view(view: WarpedVRT, mask: int, nodata: float | None) -> NDArray[np.bool_]:
    """Find out where a raster holds data on another grid.

    Args:
        view: A view of it on that grid.
        mask: Number of a band that is a mask, 0 for none.
        nodata: Value that is no data.

    Returns:
        True where all bands that hold any data hold some, (H, W).
    """
    return _look(view, mask, nodata)[-1]


def _look(
    source: DatasetReader | WarpedVRT, mask: int, nodata: float | None
) -> tuple[list[int], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
    """Read a raster thinned out.

    Returns:
        Numbers of its bands, their values and where each holds data, (bands, H, W), and where all
        that hold any data hold some, (H, W).
    """
    count = source.count - (isinstance(source, WarpedVRT) and source.nodata is None and not mask)
    indexes = [index for index in range(1, count + 1) if index != mask] or [mask]
    flags = source.mask_flag_enums[indexes[0] - 1]
    holes = nodata is not None or mask or count < source.count or flags == [MaskFlags.per_dataset]
    holes = holes or any(np.dtype(source.dtypes[index - 1]).kind == 'f' for index in indexes)
    most = MOST_FETCHED if is_fetched(source.name) else MOST_VALUES
    finest = min(FINEST, max(SAMPLE, int((most / len(indexes)) ** 0.5)))
    side = finest if holes else SAMPLE
    cover = mask or (source.count if count < source.count else 0)
    pixels = thinned(source, [*indexes, cover] if cover else indexes, side)
    values = pixels[: len(indexes)]
    there = np.isfinite(values)
    if nodata is not None:
        there &= values != nodata
    valid = there[there.any((1, 2))].all(0)
    if cover:
        valid &= pixels[-1] > 0
    elif flags == [MaskFlags.per_dataset]:
        valid &= thinned_mask(source, indexes[0], values.shape[1:]) > 0
    return indexes, values, there, valid & there.any()
