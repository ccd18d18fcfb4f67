"""Labelled files that agree on their bands and dtype."""

from collections.abc import Sequence

import numpy as np

from ...errors import UnusableError
from ..ground import Place
from .images import Header, look, read
from .split import Picture


class Files:
    """Image files, read whole.

    Attributes:
        paths: The files.
        bands: Bands asked for; empty for all.
        header: What the first file says of itself; the others have to agree.
        gsd: Metres per pixel of those that do not say, or None.
        identity: What, besides the files, decides how one is read.
    """

    def __init__(
        self, paths: Sequence[str], bands: Sequence[str], header: Header, gsd: float | None
    ) -> None:
        """Take note of them.

        Args:
            paths: The files.
            bands: Bands asked for, by number, name or common name; empty for all.
            header: What the first file says of itself.
            gsd: Metres per pixel of those that do not say.
        """
        self.paths, self.bands, self.header, self.gsd = list(paths), tuple(bands), header, gsd
        self.identity = f'files {header.bands} {header.dtype} {gsd}'

    def read(self, number: int) -> Picture:
        """Read an image.

        Args:
            number: Its number.

        Raises:
            XScaleError: If it is broken, or its bands are not those of the others.
            OSError: If it cannot be read.
        """
        header, picture = read(self.paths[number], self.bands)
        self._agree(header)
        if np.isnan(picture.gsd) and self.gsd is not None:
            return picture._replace(gsd=self.gsd)
        return picture

    def look(self, number: int) -> Place:
        """Look at the header of an image.

        Args:
            number: Its number.

        Returns:
            Where it lies.

        Raises:
            XScaleError: If it is broken, or its bands are not those of the others.
            OSError: If it cannot be read.
        """
        header = look(self.paths[number], self.bands)
        self._agree(header)
        gsd = header.gsd if self.gsd is None or header.gsd > 0 else self.gsd
        return Place(gsd, header.outline)

    def _agree(self, header: Header) -> None:
        ours, chosen = self.header, bool(self.bands)
        if header.kind(chosen) == ours.kind(chosen):
            return
        if header.dtype == ours.dtype:
            raise UnusableError(
                f'has the bands {", ".join(header.bands)} where most have '
                f'{", ".join(ours.bands)}; choose bands that all have'
            )
        raise UnusableError(f'holds {header.dtype} where most hold {ours.dtype}')
