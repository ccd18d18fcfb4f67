"""Datasets: rasters of any CRS, resolution and dtype, each on its own grid, and fMoW."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fmow import FMoW
    from .rasters import Rasters, TileSlice

__all__ = ('FMoW', 'Rasters', 'TileSlice')


def __getattr__(name: str) -> Any:
    """Import TorchGeo, which takes seconds, only where its datasets are asked for."""
    if name == 'FMoW':
        from .fmow import FMoW

        return FMoW
    if name in __all__:
        from . import rasters

        return getattr(rasters, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
