"""Write a tiny EuroSAT as TorchGeo's class unpacks it: GeoTIFFs of 13 bands, and their splits."""

import sys
from pathlib import Path

import numpy as np

from ..stack.data import write_raster

CLASSES = (
    *('AnnualCrop', 'Forest', 'HerbaceousVegetation', 'Highway', 'Industrial'),
    *('Pasture', 'PermanentCrop', 'Residential', 'River', 'SeaLake'),
)

#: Reflectance × 10,000 of each band, in the order of the files: B8A comes last.
VALUES = {
    'B01': 1100,
    'B02': 1200,
    'B03': 1300,
    'B04': 1400,
    'B05': 1500,
    'B06': 1600,
    'B07': 1700,
    'B08': 1800,
    'B09': 900,
    'B10': 10,
    'B11': 2100,
    'B12': 2200,
    'B8A': 2800,
}


def write(root: Path, side: int = 64) -> Path:
    """Write an image of each class for each split; every pixel has the values of its bands."""
    pixels = np.broadcast_to(
        np.array(list(VALUES.values()), np.uint16)[:, None, None], (len(VALUES), side, side)
    )
    folder = root / 'ds/images/remote_sensing/otherDatasets/sentinel_2/tif'
    for number, split in enumerate(('train', 'val', 'test'), 1):
        names = [f'{name}_{number}' for name in CLASSES]
        (root / f'eurosat-{split}.txt').parent.mkdir(parents=True, exist_ok=True)
        (root / f'eurosat-{split}.txt').write_text(''.join(f'{name}.jpg\n' for name in names))
        for name in names:
            write_raster(folder / name.rsplit('_', 1)[0] / f'{name}.tif', pixels)
    return root


if __name__ == '__main__':
    write(Path(sys.argv[1]))
