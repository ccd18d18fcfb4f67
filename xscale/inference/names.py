"""What maps are called: as their rasters are, in folders as theirs."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..datasets.remote import is_remote, plain, shown
from ..errors import ConfigError

#: Put before the suffix of a map of probabilities, which can lie beside one of classes so.
PROBABILITIES = '_probabilities'


def map_paths(
    files: Sequence[str], paths: Sequence[str | Path], out: Path, ending: str = ''
) -> list[Path]:
    """Name the map of each raster.

    A raster below a folder the user named keeps its place below it; others keep their name.
    Rasters that differ in their suffix alone keep it: ``a.jp2`` becomes ``a.jp2.tif``.

    Args:
        files: The rasters, as an index has them: absolute paths, or addresses.
        paths: What the user named.
        out: Folder of the maps.
        ending: What is put before the suffix.

    Raises:
        ConfigError: If two rasters would have one map, or a raster would be written over.
    """
    folders = sorted((os.path.abspath(path) for path in paths if os.path.isdir(path)), key=len)
    names = [_placed(file, folders) for file in files]
    stems = Counter(os.path.splitext(name)[0] for name in names)
    made: dict[Path, str] = {}
    for file, name in zip(files, names, strict=True):
        stem = os.path.splitext(name)[0]
        target = out / f'{name if stems[stem] > 1 and stem + ".tif" != name else stem}{ending}.tif'
        if target in made:
            raise ConfigError(
                f'the maps of {shown(made[target])} and {shown(file)} would both be {target}; '
                'give their folder, or write them to two'
            )
        made[target] = file
    rasters = {os.path.realpath(file) for file in files if not is_remote(file)}
    for target in made:
        if os.path.realpath(target) in rasters:
            raise ConfigError(f'the map {target} would replace a raster; choose another --out')
    return list(made)


def _placed(file: str, folders: Sequence[str]) -> str:
    """Return a raster's path below the innermost folder it lies in, else its name."""
    # Several files of one scene are written as a shell would, a_{B2,B3}.tif.
    name = re.sub(r'\{([^{}]*)\}', lambda found: found[1].replace(',', '-'), file)
    if is_remote(file):
        return os.path.basename(plain(name))
    inside = (folder for folder in reversed(folders) if Path(name).is_relative_to(folder))
    folder = next(inside, os.path.dirname(name))
    return os.path.relpath(name, folder)
