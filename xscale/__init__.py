"""xscale: masked-image pretraining across ground sample distances, and how well it holds."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import compare
    from .encoders import find_encoder
    from .models.checkpoint import Encoder, load

__version__ = '0.1.0'
__all__ = ('Encoder', '__version__', 'compare', 'find_encoder', 'load')


def __getattr__(name: str) -> Any:
    """Load what needs torch when it is first used."""
    if name in ('Encoder', 'load'):
        from .models import checkpoint

        return getattr(checkpoint, name)
    if name == 'find_encoder':
        from .encoders import find_encoder

        return find_encoder
    if name == 'compare':
        from .comparison import compare

        return compare
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
