"""Write a tiny So2Sat LCZ42 of version 2: HDF5 files of both sensors, a file for each split."""

import sys
from pathlib import Path

import h5py
import numpy as np

#: Reflectance of each of Sentinel-2's bands, in the order of the files.
VALUES = dict(
    zip(
        ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12'),
        (0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.19, 0.2),
        strict=True,
    )
)


def write(root: Path, count: int = 4, side: int = 32) -> Path:
    """Write images of which every pixel has the values of its bands."""
    root.mkdir(parents=True, exist_ok=True)
    for split in ('training', 'validation', 'testing'):
        with h5py.File(root / f'{split}.h5', 'w') as file:
            file['sen1'] = np.full((count, side, side, 8), -1.0)
            file['sen2'] = np.full((count, side, side, len(VALUES)), list(VALUES.values()))
            file['label'] = np.eye(17)[np.arange(count) * 5]
    return root


if __name__ == '__main__':
    write(Path(sys.argv[1]))
