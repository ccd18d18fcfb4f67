"""How much attention depends on the query, and where a token looks."""

import math

import numpy as np
import pytest
import torch

from xscale.errors import ConfigError
from xscale.evaluation.attention import attention_nmi, class_attention, query_attention

from ..tiny import seeded


def test_extremes() -> None:
    assert attention_nmi(torch.full((2, 3, 16, 16), 1 / 16)).abs().max() < 1e-6
    one = torch.eye(16)[torch.randperm(16, generator=seeded())].expand(2, 3, -1, -1)
    torch.testing.assert_close(attention_nmi(one), torch.ones(2, 3))
    # All look at a single token: the same for every query.
    single = torch.zeros(1, 1, 16, 16)
    single[..., 3] = 1
    assert attention_nmi(single).item() == 0


def test_every_pair() -> None:
    """Written out as a sum over pairs."""
    maps = (3 * torch.randn(2, 3, 9, 9, generator=seeded())).softmax(-1)
    maps[0, 0, 2] = torch.eye(9)[4]
    for image in range(2):
        for head in range(3):
            joint = maps[image, head].double().numpy() / 9
            key = joint.sum(0)
            mutual = sum(
                joint[q, k] * math.log(joint[q, k] / (key[k] / 9))
                for q in range(9)
                for k in range(9)
                if joint[q, k] > 0
            )
            entropy = -sum(p * math.log(p) for p in key)
            expected = mutual / math.sqrt(math.log(9) * entropy)
            assert attention_nmi(maps)[image, head].item() == pytest.approx(expected, abs=1e-6)


def test_scikit_learn() -> None:
    """Hard attention is a labelling of the queries by their keys."""
    from sklearn.metrics import normalized_mutual_info_score

    keys = torch.randint(5, (12,), generator=seeded())
    maps = torch.eye(12)[keys][None, None]
    expected = normalized_mutual_info_score(np.arange(12), keys.numpy(), average_method='geometric')
    assert attention_nmi(maps).item() == pytest.approx(expected, abs=1e-6)


def test_where_a_token_looks() -> None:
    maps = torch.rand(2, 3, 18, 18, generator=seeded())
    seen = query_attention(maps, 5, prefix=2)
    assert seen.shape == (2, 4, 4)
    torch.testing.assert_close(seen[1, 2, 1], maps[1, :, 5, 2 + 2 * 4 + 1].mean())
    torch.testing.assert_close(class_attention(maps, prefix=2), query_attention(maps, 0, prefix=2))
    with pytest.raises(ConfigError, match='18 tokens with 1 before the patches make no square'):
        class_attention(maps)
    with pytest.raises(ConfigError, match='no token 18; there are 0 to 17'):
        query_attention(maps, 18, prefix=2)
