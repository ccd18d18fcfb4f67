"""Write a tiny SpaceNet 1 as its archives unpack: chips of degrees, and GeoJSON of buildings."""

import json
import sys
from pathlib import Path

import numpy as np
from rasterio.transform import from_origin

from ..stack.data import write_raster

VALUES = {'red': 40, 'green': 90, 'blue': 160}

#: Degrees of a pixel, and the corner of the first chip.
DEGREES, WEST, NORTH = 4.5e-6, -43.6, -22.9


def write(root: Path, count: int = 10) -> Path:
    """Write chips of one colour, a building in the middle of each, none in the first."""
    folder, (height, width) = root / 'SN1_buildings' / 'train', (40, 44)
    flat = np.array(list(VALUES.values()), np.uint8)[:, None, None]
    for number in range(1, count + 1):
        west = WEST + number * 0.01
        name = f'3band_AOI_1_RIO_img{number}.tif'
        write_raster(
            folder / '3band' / name,
            np.broadcast_to(flat, (3, height, width)),
            crs='EPSG:4326',
            grid=from_origin(west, NORTH, DEGREES, DEGREES),
        )
        left, right = west + 10 * DEGREES, west + 30 * DEGREES
        top, bottom = NORTH - 10 * DEGREES, NORTH - 30 * DEGREES
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        shape = {'type': 'Polygon', 'coordinates': [ring]}
        feature = {'type': 'Feature', 'properties': {}, 'geometry': shape}
        features = [] if number == 1 else [feature]
        file = folder / 'geojson' / f'Geo_AOI_1_RIO_img{number}.geojson'
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({'type': 'FeatureCollection', 'features': features}))
    return root


if __name__ == '__main__':
    write(Path(sys.argv[1]))
