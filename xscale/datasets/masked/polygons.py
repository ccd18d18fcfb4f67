"""Labels as polygons, drawn onto the grids of images as these are read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from ... import geo
from ...errors import ConfigError, MissingPathError
from .classes import UNLABELLED, Classes, make_classes
from .images import ImageFile
from .tiles import Part

#: How files begin, by suffix: nothing that may point to other files is opened.
BEGINS = {'.geojson': b'{', '.json': b'{', '.gpkg': b'SQLite format 3'}

#: What lies in no polygon.
BACKGROUND = 'background'

#: Values that are told.
TOLD = 8


class Polygons:
    """Polygons whose inside is of a class, and all the rest background, class 0.

    A pixel is inside where its centre is; of polygons that overlap the last counts.

    Attributes:
        path: The file.
        classes: The classes; the first is the background.
        notes: What a user should know.
    """

    def __init__(
        self,
        path: str | Path,
        attribute: str | None = None,
        classes: Classes | None = None,
        ignore: int | None = None,
    ) -> None:
        """Read them.

        Args:
            path: GeoJSON or GeoPackage.
            attribute: Column that names the class of each, or holds its value; None for one class.
                Those without a value are not labelled.
            classes: What the user says, the background first; by default as found.
            ignore: Value of the column of polygons that are not labelled.

        Raises:
            MissingPathError: If the file does not exist.
            ConfigError: If it cannot be read, holds no polygons or other shapes, does not say
                where on Earth they lie, or there is no such column or class.
        """
        self.path, self.notes = str(path), list[str]()
        frame = _read(Path(path))
        frame = self._checked(frame)
        named = _named(frame, attribute, self.path)
        self.classes = classes or _found(named, Path(path).stem, ignore)
        numbers = self._numbers(named, attribute, ignore, len(frame))
        self.frames = {'': gpd.GeoDataFrame({'number': numbers}, geometry=frame.geometry)}

    def _checked(self, frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        if frame.crs is None:
            raise ConfigError(
                f'{self.path} does not say in which coordinate reference system its polygons are; '
                'write it with ogr2ogr -a_srs'
            )
        empty = frame.geometry.isna() | frame.geometry.is_empty
        if empty.any():
            self.notes.append(f'{self.path}: {int(empty.sum()):,} features without a shape')
        frame = frame[~empty].reset_index(drop=True)
        kinds = frame.geom_type
        others = kinds[~kinds.isin(['Polygon', 'MultiPolygon'])].value_counts()
        if len(others) or frame.empty:
            told = ', '.join(f'{count:,} {kind}' for kind, count in others.items())
            raise ConfigError(
                f'{self.path} holds {told or "no shape"}; polygons are needed: draw areas, or '
                'buffer lines and points first'
            )
        return frame

    def _numbers(
        self, named: pd.Series | None, attribute: str | None, ignore: int | None, count: int
    ) -> NDArray[np.uint8]:
        """Return the number of the class of each polygon."""
        classes = self.classes
        if named is None:
            if len(classes.names) != 2:
                raise ConfigError(
                    f'{len(classes.names)} classes ({", ".join(classes.names)}, {classes.source}) '
                    f'for the polygons of {self.path}; say which column names the class of each '
                    '(attribute), or name two: the background and what they show'
                )
            return np.ones(count, np.uint8)
        # A class goes by its name, or by its value.
        known = {str(value): n for n, value in enumerate(classes.values)}
        known |= {name: n for n, name in enumerate(classes.names)}
        known |= {'': UNLABELLED} | ({} if ignore is None else {str(ignore): UNLABELLED})
        strange = named[~named.isin(list(known))].value_counts()
        if len(strange):
            told = ', '.join(f'{v} ({n:,} polygons)' for v, n in strange.iloc[:TOLD].items())
            raise ConfigError(
                f'{self.path}: the column {attribute} holds {told}, which are no class; the '
                f'classes are {", ".join(classes.names)} ({classes.source})'
            )
        return named.map(known).to_numpy().astype(np.uint8)

    def read(self, image: ImageFile, part: Part) -> NDArray[np.uint8]:
        """Draw the polygons onto a window of an image.

        Args:
            image: The image.
            part: The window.

        Returns:
            Numbers of classes, (H, W); 255 inside a polygon without a class.

        Raises:
            UnusableError: If the image has no place on Earth.
        """
        frame = self._near(image, part)
        shape = part.height, part.width
        if frame.empty:
            return np.zeros(shape, np.uint8)
        _, transform = image.place()
        moved = geo.compose(transform, Affine.translation(part.col, part.row))
        shapes = list(zip(frame.geometry, frame['number'].tolist(), strict=True))
        return rasterize(shapes, out_shape=shape, fill=0, transform=moved, dtype='uint8')

    def on(self, image: ImageFile) -> int:
        """Count the polygons that may touch an image.

        Args:
            image: The image.

        Raises:
            UnusableError: If it has no place on Earth.
        """
        return len(self._near(image, Part(0, 0, image.grid.width, image.grid.height)))

    def _near(self, image: ImageFile, part: Part) -> gpd.GeoDataFrame:
        """Return the polygons whose boxes touch a window, in the image's CRS and their order."""
        crs, transform = image.place()
        if crs not in self.frames:
            whole = self.frames['']
            self.frames[crs] = whole if whole.crs == crs else whole.to_crs(crs)
        frame = self.frames[crs]
        cols = np.array([0, 1, 0, 1]) * part.width + part.col
        rows = np.array([0, 0, 1, 1]) * part.height + part.row
        x, y = geo.apply(transform, cols, rows)
        box = shapely.box(x.min(), y.min(), x.max(), y.max())
        return frame.iloc[np.sort(frame.sindex.query(box))]


def _read(path: Path) -> gpd.GeoDataFrame:
    if not path.is_file():
        raise MissingPathError(path)
    begin = BEGINS.get(path.suffix.lower())
    if begin is None:
        raise ConfigError(
            f'{path}: only {", ".join(BEGINS)} are read; write one with ogr2ogr or '
            'GeoDataFrame.to_file'
        )
    with path.open('rb') as file:
        head = file.read(64).lstrip(b'\xef\xbb\xbf \r\n\t')
    if not head.startswith(begin):
        raise ConfigError(f'{path} does not begin as a {path.suffix} file does')
    try:
        frame = gpd.read_file(path.resolve())
    except Exception as error:  # a driver's own
        raise ConfigError(f'{path} cannot be read: {error}') from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise ConfigError(f'{path} holds a table without shapes; polygons are needed')
    return frame


def _named(frame: gpd.GeoDataFrame, attribute: str | None, path: str) -> pd.Series | None:
    """Return what the column says of each polygon as text, '' where nothing."""
    if attribute is None:
        return None
    if attribute not in frame.columns or attribute == 'geometry':
        columns = ', '.join(str(name) for name in frame.columns if name != 'geometry')
        raise ConfigError(f'{path} has no column {attribute}; it has {columns or "none"}')
    return frame[attribute].map(_text, na_action=None)


def _text(value: Any) -> str:
    if value is None or value is pd.NA or value != value:
        return ''
    # A column of whole numbers with gaps comes as one of floats.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _found(named: pd.Series | None, stem: str, ignore: int | None) -> Classes:
    """Make classes of what a file holds."""
    if named is None:
        return make_classes([BACKGROUND, stem], [0, 1], ignore, 'by the name of the labels')
    texts = sorted(set(named) - {'', BACKGROUND, '' if ignore is None else str(ignore)}, key=_order)
    names = [BACKGROUND, *texts]
    classes: Mapping[str, int] = {name: number for number, name in enumerate(names)}
    return make_classes(list(classes), list(classes.values()), None, 'as found in the labels')


def _order(text: str) -> tuple[bool, int, str]:
    number = int(text) if text.isdecimal() else 0
    return not text.isdecimal(), number, text
