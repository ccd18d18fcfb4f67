"""Options of MAE and Cross-Scale MAE that cannot be are said."""

from typing import Any

import pytest

from xscale.errors import ConfigError, UnknownNameError

from ..tiny import pair, seeded
from .mae import build


@pytest.mark.parametrize(
    'options',
    [
        {'loss': 'huber'},
        {'position': 'metres'},
        {'consistency': 'triplet'},
        {'align': 'sky'},
        {'direction': 'sideways'},
        {'negatives': 'all'},
        {'predictor_norm': 'group'},
        {'weights': {'reconstruction': 1.0}},
    ],
)
def test_unknown_options(options: dict[str, Any]) -> None:
    value = next(iter(options.values()))
    name = 'reconstruction' if isinstance(value, dict) else value
    with pytest.raises(UnknownNameError, match=f'{name!r}; choose one of: '):
        build(**options)


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match='decoder_dim 30'):
        build(decoder_dim=30)
    with pytest.raises(ConfigError, match='built for 9 tokens and 16 came'):
        build(predictor_norm='token_batch', predictor_tokens=9)(pair(), generator=seeded())
    with pytest.raises(ConfigError, match='leaves 0 of 16'):
        build(mask_ratio=0.99)(pair(), generator=seeded())
