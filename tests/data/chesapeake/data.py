"""Write a tiny Chesapeake Land Cover as its archive unpacks: tiles of Delaware, and an index."""

import json
import sys
from pathlib import Path

import numpy as np
from pyproj import Transformer
from rasterio.transform import from_origin
from torchgeo.datasets import ChesapeakeCVPR

from ..stack.data import write_raster

VALUES = {'red': 40, 'green': 90, 'blue': 160, 'nir': 200}

#: Side of a tile in pixels of 1 m, and its corner in UTM zone 18.
SIDE, EAST, NORTH = 240, 450_000, 4_300_000


def write(root: Path) -> Path:
    """Write a tile of one colour for each split of Delaware, with all classes and no data."""
    to_mercator = Transformer.from_crs('EPSG:26918', 'EPSG:3857', always_xy=True).transform
    flat = np.array(list(VALUES.values()), np.uint8)[:, None, None]
    classes = np.array([1, 2, 3, 4, 5, 6, 15], np.uint8)
    cover = classes[np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % len(classes)]
    # TorchGeo looks for folders of all states before it opens one.
    for name in ChesapeakeCVPR._files['base'][:18]:
        (root / name).mkdir(parents=True)
    for name in ChesapeakeCVPR._files['base'][18:-1]:
        (root / name).touch()
    features = []
    for number, split in enumerate(('train', 'val', 'test')):
        folder = f'de_1m_2013_extended-debuffered-{split}_tiles'
        west = EAST + 1000 * number
        grid = from_origin(west, NORTH, 1, 1)
        stem = f'{folder}/m_380{number}_ne_18_1'
        image = np.broadcast_to(flat, (4, SIDE, SIDE))
        write_raster(root / f'{stem}_naip-new.tif', image, crs='EPSG:26918', grid=grid)
        write_raster(root / f'{stem}_lc.tif', cover, crs='EPSG:26918', grid=grid)
        corners = [(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE), (0, 0)]
        ring = [to_mercator(west + right, NORTH - down) for right, down in corners]
        about = {'split': f'de-{split}', 'lc': f'{stem}_lc.tif', 'naip-new': f'{stem}_naip-new.tif'}
        shape = {'type': 'Polygon', 'coordinates': [ring]}
        features.append({'type': 'Feature', 'properties': about, 'geometry': shape})
    crs = {'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:EPSG::3857'}}
    index = {'type': 'FeatureCollection', 'crs': crs, 'features': features}
    (root / 'spatial_index.geojson').write_text(json.dumps(index))
    return root


if __name__ == '__main__':
    write(Path(sys.argv[1]))
