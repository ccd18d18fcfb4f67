"""What suggests that a model is asked about rasters unlike those it was trained on."""

import sys
from collections.abc import Sequence
from typing import Any

from ..datasets.files import Row
from ..datasets.remote import shown
from ..encoders.units import check_values
from ..inference import map_grid
from ..types import Sensor

#: How far a raster's GSD may lie outside of what a model was trained on, as a ratio.
FAR = 1.5


def warn_of_units(sensors: Sequence[Sensor], predictor: Any) -> None:
    """Warn of rasters whose values cannot be in the units the model was trained on.

    Args:
        sensors: Those of the rasters, with their mean and deviation.
        predictor: The model.
    """
    trained = getattr(predictor, 'contract', {}).get('sensors', ())
    known = [
        Sensor(s['name'], tuple(s['bands']), tuple(s['mean']), tuple(s['std'])) for s in trained
    ]
    for sensor in sensors:
        fitting = [one for one in known if len(one.bands) == len(sensor.bands)]
        doubts = [check_values(sensor.mean, sensor.std, one) for one in fitting]
        if doubts and all(doubts):
            print(f'warning: {sensor.name}: {doubts[0]}', file=sys.stderr)


def warn_of_gsd(
    rows: Sequence[Row], gsd: float | None, trained: tuple[float, float] | None
) -> None:
    """Warn of rasters at ground sample distances the model never saw.

    Args:
        rows: Their rows of the index.
        gsd: Metres per pixel of the maps; each raster's own by default.
        trained: Finest and coarsest metres per pixel it was trained on; None where not known.
    """
    if trained is None:
        return
    finest, coarsest = trained[0] / FAR, trained[1] * FAR
    found = [(row, map_grid(row, gsd).gsd) for row in rows]
    far = [(row, metres) for row, metres in found if not finest <= metres <= coarsest]
    if far:
        row, metres = far[0]
        print(
            f'warning: {len(far)} of {len(rows)} maps, the first of {shown(row["filepath"])} at '
            f'{metres:g} m, are at a GSD the model was not trained on ({trained[0]:g} to '
            f'{trained[1]:g} m); --gsd METRES reads at another',
            file=sys.stderr,
        )
