"""Models: the encoder, the decoder, attention, positions and checkpoints."""

from .attention import attend
from .checkpoint import Encoder, Features, load
from .vit import create_encoder

__all__ = ('Encoder', 'Features', 'attend', 'create_encoder', 'load')
