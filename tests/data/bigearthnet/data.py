"""Write a tiny BigEarthNet v1, its Sentinel-2 part: a folder of GeoTIFFs and labels a patch."""

import json
import sys
from pathlib import Path

import numpy as np

from ..stack.data import write_raster

#: Reflectance × 10,000 of each band.
VALUES = {
    'B01': 500,
    'B02': 600,
    'B03': 700,
    'B04': 800,
    'B05': 900,
    'B06': 1000,
    'B07': 1100,
    'B08': 1200,
    'B8A': 1300,
    'B09': 1400,
    'B11': 1500,
    'B12': 1600,
}

#: Sides in pixels of bands of 10, 20 and 60 m.
SIDES = {
    **dict.fromkeys(VALUES, 60),
    **dict.fromkeys(('B02', 'B03', 'B04', 'B08'), 120),
    **dict.fromkeys(('B01', 'B09'), 20),
}

LABELS = (['Pastures', 'Mixed forest'], ['Sea and ocean'])


def write(root: Path) -> Path:
    """Write two patches for each split; every pixel has the value of its band."""
    folder = root / 'BigEarthNet-v1.0'
    for split in ('train', 'val', 'test'):
        rows = []
        for number, labels in enumerate(LABELS):
            name = f'S2A_MSIL2A_20170613T101031_{split}_{number}'
            rows.append(f'{name},S1A_IW_GRDH_1SDV_20170613T165043_{split}_{number}')
            for band, value in VALUES.items():
                pixels = np.full((SIDES[band], SIDES[band]), value, np.uint16)
                write_raster(folder / name / f'{name}_{band}.tif', pixels)
            about = {'labels': labels, 'coordinates': {}, 'projection': ''}
            (folder / name / f'{name}_labels_metadata.json').write_text(json.dumps(about))
        (root / f'bigearthnet-{split}.csv').write_text('\n'.join(rows))
    return root


if __name__ == '__main__':
    write(Path(sys.argv[1]))
