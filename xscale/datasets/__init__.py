"""Datasets: rasters of any CRS, resolution and dtype, each on its own grid, and fMoW."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fmow import FMoW
    from .rasters import Rasters
    from .slices import TileSlice

__all__ = ('FMoW', 'Rasters', 'TileSlice')


def __getattr__(name: str) -> Any:
    """Import TorchGeo, which takes seconds, only where its datasets are asked for."""
    if name in __all__:
        module = {'FMoW': 'fmow', 'Rasters': 'rasters', 'TileSlice': 'slices'}[name]
        return getattr(importlib.import_module(f'.{module}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
