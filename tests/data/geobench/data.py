"""Write tiny tasks in the format of GEO-Bench v1, with stand-ins for the geobench package.

As ``geobench.dataset.write_sample_hdf5`` and ``TaskSpecifications.save`` write them: pickles of
classes of ``geobench``, which is not needed to write them, nor to read them.
"""

import json
import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import from_origin

#: Name, other names and metres of the bands of two sensors and of plain colours, as geobench has
#: them.
SENTINEL2 = (
    ('01 - Coastal aerosol', ('1', '01'), 60),
    ('02 - Blue', ('2', '02', 'blue'), 10),
    ('03 - Green', ('3', '03', 'green'), 10),
    ('04 - Red', ('4', '04', 'red'), 10),
    ('05 - Vegetation Red Edge', ('5', '05'), 20),
    ('06 - Vegetation Red Edge', ('6', '06'), 20),
    ('07 - Vegetation Red Edge', ('7', '07'), 20),
    ('08 - NIR', ('8', '08', 'NIR'), 10),
    ('08A - Vegetation Red Edge', ('8A', '08A'), 20),
    ('09 - Water vapour', ('9', '09'), 60),
    ('10 - SWIR - Cirrus', ('10',), 60),
    ('11 - SWIR', ('11',), 20),
    ('12 - SWIR', ('12',), 20),
)
LANDSAT8 = (
    ('02 - Blue', ('2', '02', 'B2', 'blue'), 15),
    ('03 - Green', ('3', '03', 'B3', 'green'), 15),
    ('04 - Red', ('4', '04', 'B4', 'red'), 15),
    ('05 - NIR', ('5', '05', 'B5', 'nir'), 30),
)
COLOURS = (('Red', ('red',), 0.1), ('Green', ('green',), 0.1), ('Blue', ('blue',), 0.1))

SENSORS = {'Sentinel2': SENTINEL2, 'Landsat8': LANDSAT8, 'SpectralBand': COLOURS}

#: Side of a sample in pixels, and its values: of sample n and band b, 100 n + b.
SIDE = 8

#: Samples of each split.
COUNTS = {'train': 6, 'valid': 2, 'test': 4}


@contextmanager
def geobench() -> Iterator[Any]:
    """Provide classes that pickle as those of geobench do."""
    places = {
        'geobench.dataset': ('SpectralBand', 'Sentinel2', 'Landsat8'),
        'geobench.label': (
            *('Classification', 'MultiLabelClassification', 'SemanticSegmentation'),
            *('SegmentationClasses', 'Regression'),
        ),
        'geobench.task': ('TaskSpecifications', 'Accuracy'),
    }
    modules = {name: types.ModuleType(name) for name in ('geobench', *places)}
    for place, names in places.items():
        for name in names:
            made = type(name, (), {'__module__': place, '__qualname__': name})
            setattr(modules[place], name, made)
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield types.SimpleNamespace(
            **{name: getattr(modules[place], name) for place in places for name in places[place]}
        )
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def build(kind: Any, **attributes: Any) -> Any:
    """Make an object of a class and set its attributes."""
    made = kind()
    vars(made).update(attributes)
    return made


def write_sample(
    path: Path, bands: dict[str, NDArray], label: Any, about: dict[str, dict[str, Any]]
) -> Path:
    """Write a sample.

    Args:
        path: Where to.
        bands: Pixels by what the bands are called.
        label: Its label.
        about: Of each band what is known, more than nothing.
    """
    told: dict[str, Any] = {'label': label, 'bands_order': list(bands)}
    empty = dict.fromkeys(('date', 'date_id', 'meta_info', 'transform', 'crs'))
    told |= {name: {**empty, **about.get(name, {})} for name in bands}
    with h5py.File(path, 'w') as file:
        for name, values in bands.items():
            file.create_dataset(name, data=values)
        file.attrs['pickle'] = str(pickle.dumps(told))
    return path


def write_task(
    folder: Path,
    sensor: str = 'Sentinel2',
    label: str = 'Classification',
    classes: int = 2,
    placed: bool = True,
    dtype: str = 'float32',
) -> Path:
    """Write a task.

    Args:
        folder: Where to; it is made.
        sensor: Class of its bands, of :data:`SENSORS`.
        label: Class of its label.
        classes: How many classes there are, called a, b, …
        placed: Whether samples say where they lie.
        dtype: Of the pixels.
    """
    folder.mkdir(parents=True)
    called = [chr(ord('a') + number) for number in range(classes)]
    with geobench() as g:
        infos = [
            build(
                getattr(g, sensor), name=n, alt_names=others, spatial_resolution=m, wavelength=0.5
            )
            for n, others, m in SENSORS[sensor]
        ]
        key = 'class_name' if label.startswith('Multi') else '_class_names'
        kind = build(getattr(g, label), n_classes=classes, **{key: called})
        gsd = min(info.spatial_resolution for info in infos)
        task = build(
            g.TaskSpecifications,
            dataset_name='tiny',
            benchmark_name='classification_v1.0',
            patch_size=(SIDE, SIDE),
            n_time_steps=1,
            bands_info=infos,
            label_type=kind,
            spatial_resolution=gsd,
            eval_loss=g.Accuracy,
        )
        (folder / 'task_specs.pkl').write_bytes(pickle.dumps(task, protocol=4))
        place = {
            'transform': from_origin(500_000, 5_300_000, gsd, gsd),
            'crs': CRS.from_epsg(32633),
        }
        number, parts = 0, {}
        for part, count in COUNTS.items():
            parts[part] = [f'id_{number + one:04d}' for one in range(count)]
            for one, name in enumerate(parts[part]):
                bands, about = {}, {}
                for band, info in enumerate(infos):
                    values = np.full((SIDE, SIDE), 100 * number + band, dtype)
                    bands[info.name] = values
                    about[info.name] = {'band_info': info, 'spatial_resolution': gsd}
                    about[info.name] |= place if placed else {}
                if 'Segmentation' in label:
                    bands['label'] = np.arange(SIDE**2).reshape(SIDE, SIDE) % classes
                    about['label'] = {'band_info': build(g.SegmentationClasses, name='label')}
                several = np.arange(classes) % 2 == one % 2
                truth: Any = several.astype(np.int64) if key == 'class_name' else one % classes
                write_sample(folder / f'{name}.hdf5', bands, truth, about)
                number += 1
    (folder / 'default_partition.json').write_text(json.dumps(parts))
    return folder


if __name__ == '__main__':
    write_task(Path(sys.argv[1]))
