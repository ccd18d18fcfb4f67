"""Open labelled images by a path or a name."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import BandsNotFoundError, ConfigError, MissingPathError, UnusableError
from .sets import Labelled

#: Data sets that are told where a name is not known.
KNOWN = ('EuroSAT', 'UCMerced', 'RESISC45', 'PatternNet', 'FMoW')


def open_labelled(
    data: str | Path,
    *,
    root: str | Path | None = None,
    splits: str | Path | None = None,
    bands: Sequence[str] = (),
    gsd: float | None = None,
    seed: int = 0,
) -> Labelled:
    """Open labelled images; they are listed, and each is read when it is asked for.

    Args:
        data: A folder ``DIR/{train,test[,val]}/<class>/*`` of JPEG, PNG or GeoTIFF, or
            ``DIR/<class>/*`` with a split file; a folder of a classification task of GEO-Bench;
            ``FMoW``; or a data set of TorchGeo by its class, such as ``EuroSAT`` or
            ``package.module.Class``.
        root: Folder of a data set that is given by its class; 'data' by default.
        splits: Split file of a folder: CSV with the columns path, split, and maybe label.
        bands: Bands to read, by number (from 1), name or common name; empty for all.
        gsd: Metres per pixel of images that do not say.
        seed: Of the split of a data set that has none.

    Raises:
        MissingPathError: If a path does not exist.
        ConfigError: If it is nothing that can be evaluated, or a setting does not fit it, such as
            bands that are not there.
    """
    _check_gsd(gsd)
    if isinstance(bands, str):
        raise ConfigError(f'bands {bands!r}: a list of names is needed, such as [{bands!r}]')
    try:
        return _open(data, root, splits, bands, gsd, seed)
    except BandsNotFoundError as error:
        raise ConfigError(
            f'{data}: {error}; choose bands (--bands) by number, name or common name'
        ) from error
    except UnusableError as error:
        raise ConfigError(f'{data}: {error}') from error


def _open(
    data: str | Path,
    root: str | Path | None,
    splits: str | Path | None,
    bands: Sequence[str],
    gsd: float | None,
    seed: int,
) -> Labelled:
    name, folder = str(data), Path(data)
    if folder.is_dir():
        _refuse(name, 'a folder', root=root)
        if (folder / 'task_specs.pkl').is_file():
            from .geobench import open_geobench

            _refuse(name, 'a task of GEO-Bench, which has its own', splits=splits)
            return open_geobench(folder, bands, gsd)
        from .folder import open_folder

        return open_folder(folder, splits, bands, gsd)
    if folder.is_file():
        raise ConfigError(f'{name} is a file; a folder of labelled images is needed')
    if isinstance(data, Path) or os.sep in name or name.startswith('.'):
        raise MissingPathError(name)
    _refuse(name, 'a data set that has its own', splits=splits)
    where = Path('data' if root is None else root)
    if name in ('FMoW', 'xscale.datasets.FMoW'):
        from .fmow import open_fmow

        return open_fmow(where, bands, gsd)
    from .torchgeo_sets import find_class, open_torchgeo

    found = find_class(name)
    if found is None:
        raise _unknown(name)
    return open_torchgeo(found, where, bands, gsd, seed)


def _check_gsd(gsd: float | None) -> None:
    if gsd is not None and not (np.isfinite(gsd) and gsd > 0):
        raise ConfigError(f'gsd {gsd}: metres per pixel are needed, above 0')


def _refuse(name: str, what: str, **settings: object) -> None:
    """Refuse a setting that would do nothing."""
    for setting, value in settings.items():
        if value is not None:
            raise ConfigError(f'{setting} {value} does not go with {name}: it is {what}')


def _unknown(name: str) -> ConfigError:
    from .torchgeo_sets import class_names

    names = {one.lower(): one for one in (*class_names(), 'FMoW')}
    near = [names[one] for one in difflib.get_close_matches(name.lower(), names, 3, 0.6)]
    hint = f'did you mean {" or ".join(near)}?' if near else f'such as {", ".join(KNOWN)}.'
    return ConfigError(
        f'{name} is no folder (looked from {Path.cwd()}) and no data set that is known; {hint} '
        'A folder of labelled images, FMoW, or a class of TorchGeo is needed'
    )
