"""A folder of small rasters whose catalogue is kept."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from ...data.stack.data import write_raster

Kept = tuple[Path, Path]


def small(path: Path, value: int = 1, side: int = 20) -> Path:
    # With a nodata value, for NaN would not even equal itself.
    return write_raster(path, np.full((side, side), value, np.uint8), nodata=0)


def names(table: pa.Table) -> list[str]:
    return [Path(path).name for path in table['filepath'].to_pylist()]
