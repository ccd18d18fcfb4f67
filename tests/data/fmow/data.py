"""Write tiny data in the layouts of fMoW-rgb, fMoW-Sentinel and a list of cut images."""

import csv
import json
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_bounds

#: Columns and rows of an image and metres per pixel that its metadata state, by place.
PLACES = {
    'airport_0': ((160, 120), 0.52),
    'airport_7': ((90, 130), 0.45),
    'fountain_514': ((98, 66), 0.468074887991),
    'zoo_3': ((200, 150), 1.1),
}

#: West and south corner of each in degrees; the fountain is the real one's.
CORNERS = {
    'airport_0': (-70.5, -0.01),
    'airport_7': (100.2, 14.0),
    'fountain_514': (8.58083601179, 47.4475160925),
    'zoo_3': (8.5, 60.0),
}

#: Degrees of a pixel, the same along both axes: fMoW's images lie on a grid of degrees.
STEP = 4.5963e-6

TIMES = ('2016-03-01T10:32:22Z', '2012-04-02T10:32:22Z', '2017-08-09T03:00:01Z')


def write_jpeg(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Write a JPEG.

    Args:
        path: Where to; its folder is made.
        pixels: Values, (C, H, W).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    shape = {'count': count, 'height': height, 'width': width, 'dtype': np.uint8}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(path, 'w', driver='JPEG', quality=98, **shape) as out:
            out.write(pixels)
    return path


def gradient(width: int, height: int, tint: int = 0) -> NDArray[np.uint8]:
    """Make an image whose red is its column and whose green is its row."""
    cols, rows = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([cols, rows, np.full_like(cols, tint)]).astype(np.uint8)


def polygon(west: float, south: float, east: float, north: float) -> str:
    """Write a box as fMoW does."""
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return f'POLYGON (({", ".join(f"{x:.16f} {y:.16f}" for x, y in corners)}))'


def bounds(place: str) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a place."""
    (width, height), _ = PLACES[place]
    west, south = CORNERS[place]
    return west, south, west + width * STEP, south + height * STEP


def metadata(place: str, date: int, box: tuple[int, int, int, int], **changes: Any) -> dict:
    """Return what the JSON of an image holds, as the archive of labels has it.

    Args:
        place: Category and number.
        date: Number of the date.
        box: The labelled box.
        **changes: What is otherwise; None leaves it out.
    """
    (width, height), gsd = PLACES[place]
    category = place.rsplit('_', 1)[0]
    content = {
        'gsd': gsd,
        'img_width': width,
        'img_height': height,
        'mean_pixel_height': STEP,
        'mean_pixel_width': STEP,
        'utm': '32T',
        'country_code': 'CHE',
        'cloud_cover': 0,
        'timestamp': TIMES[date % len(TIMES)],
        'scan_direction': 'Reverse',
        'pan_resolution_dbl': gsd,
        'multi_resolution_dbl': 4 * gsd,
        'sensor_platform_name': 'GEOEYE01',
        'approximate_wavelengths': [661, 545, 477],
        'epsg': '4326',
        'spatial_reference': 'GCS_WGS_1984',
        'img_filename': f'{place}_{date}_rgb.tif',
        'raw_location': polygon(*bounds(place)),
        'bounding_boxes': [
            {'ID': -1, 'box': list(box), 'category': category, 'raw_category': category},
            {'ID': 47768, 'box': list(box), 'category': category, 'visible': 'True'},
        ],
    }
    return {key: value for key, value in (content | changes).items() if value is not None}


def write_image(folder: Path, place: str, date: int, name: str = '', **changes: Any) -> Path:
    """Write an image of fMoW-rgb and its metadata, and return the image.

    Args:
        folder: Where to.
        place: Category and number.
        date: Number of the date.
        name: What the file is called in front of its date; as the place by default.
        **changes: For :func:`metadata`.
    """
    width, height = PLACES[place][0]
    stem = f'{name or place}_{date}_rgb'
    path = write_jpeg(folder / f'{stem}.jpg', gradient(width, height, 40 * date))
    box = changes.pop('box', (width // 4, height // 4, width // 2, height // 2))
    path.with_suffix('.json').write_text(json.dumps(metadata(place, date, box, **changes)))
    return path


def write_rgb(folder: Path) -> None:
    """Write fMoW-rgb: train and val, and test with its labels beside it."""
    dates = {'airport_0': 3, 'airport_7': 1, 'fountain_514': 2, 'zoo_3': 1}
    for place, count in dates.items():
        category = place.rsplit('_', 1)[0]
        for date in range(count):
            write_image(folder / 'train' / category / place, place, date)
            path = write_image(folder / 'val' / category / place, place, date)
            multispectral = gradient(*(side // 2 for side in PLACES[place][0]))
            write_jpeg(path.with_name(path.name.replace('_rgb', '_msrgb')), multispectral)
            about = path.with_suffix('.json')
            about.with_name(about.name.replace('_rgb', '_msrgb')).write_text(about.read_text())
    hidden = {'bounding_boxes': [{'ID': 3, 'box': [10, 10, 30, 30]}], 'raw_location': None}
    for date in range(2):
        write_image(folder / 'test' / '0011978', 'zoo_3', date, '0011978', **hidden)
        labelled = metadata('zoo_3', date, (50, 37, 100, 75))
        wrong = {'ID': 9, 'box': [5, 5, 20, 30], 'category': 'false_detection'}
        labelled['bounding_boxes'].append(wrong)
        about = folder / 'test_gt' / 'zoo' / 'zoo_3' / f'zoo_3_{date}_rgb.json'
        about.parent.mkdir(parents=True, exist_ok=True)
        about.write_text(json.dumps(labelled))
    mapping = [{'input': 'test_gt/zoo/zoo_3', 'output': 'test/0011978'}]
    (folder / 'test_gt_mapping.json').write_text(json.dumps(mapping))


def write_sentinel(folder: Path) -> None:
    """Write fMoW-Sentinel: TIFFs of 13 bands on a grid of degrees, and lists."""
    rng = np.random.default_rng(0)
    step = 10 / 111_320
    for split in ('train', 'val'):
        rows = []
        for category, location, image in (('airport', 0, 6), ('airport', 0, 100), ('zoo', 3, 2)):
            place = f'{category}_{location}'
            west, south = CORNERS[place]
            corners = (west, south, west + 60 * step, south + 45 * step)
            path = folder / split / category / place / f'{place}_{image}.tif'
            values = rng.integers(1, 4000, (13, 45, 60), dtype=np.uint16)
            values[:, :5, :5] = 0
            write_tiff(path, values, corners)
            about = {'category': category, 'location_id': location, 'image_id': image}
            time = f'201{image % 5 + 5}-05-01T00:00:00Z'
            rows.append({**about, 'timestamp': time, 'polygon': polygon(*corners)})
        write_list(folder / f'{split}.csv', rows, numbered=True)


def write_tiff(
    path: Path, values: NDArray[Any], corners: tuple[float, float, float, float] | None
) -> Path:
    """Write a GeoTIFF in degrees; without corners it has no place on Earth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    shape: dict[str, Any] = {'count': count, 'height': height, 'width': width}
    shape['dtype'] = values.dtype
    if corners:
        shape |= {'crs': 'EPSG:4326', 'transform': from_bounds(*corners, width, height)}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(path, 'w', driver='GTiff', compress='deflate', **shape) as out:
            out.write(values)
    return path


def write_cut(folder: Path) -> None:
    """Write a list as Cross-Scale MAE reads it, of square images without metadata."""
    for split in ('train', 'val'):
        rows = []
        for place, date in (('airport_0', 0), ('airport_0', 1), ('fountain_514', 0), ('zoo_3', 0)):
            category = place.rsplit('_', 1)[0]
            name = f'fmow/{split}/{category}/{place}/{place}_{date}_rgb.jpg'
            write_jpeg(folder / name, gradient(64, 64, 40 * date))
            rows.append({'category': category, 'image_path': name, 'timestamp': TIMES[date]})
        write_list(folder / f'{split}_62classes.csv', rows)


def write_list(
    path: Path, rows: list[Mapping[str, Any]] | list[dict[str, Any]], numbered: bool = False
) -> Path:
    """Write a CSV with a header, with a first column that counts where ``numbered``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', newline='') as file:
        out = csv.DictWriter(file, [*([''] if numbered else []), *rows[0]])
        out.writeheader()
        out.writerows({'': n, **row} if numbered else row for n, row in enumerate(rows))
    return path


def write(folder: Path) -> None:
    """Write all three.

    Args:
        folder: Where to.
    """
    write_rgb(folder / 'rgb')
    write_sentinel(folder / 'sentinel')
    write_cut(folder / 'cut')


if __name__ == '__main__':
    write(Path(sys.argv[1] if len(sys.argv) > 1 else '.'))
