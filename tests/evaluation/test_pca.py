"""Maps of features: against scikit-learn, the same colours everywhere, and outliers."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from xscale.evaluation import EvaluationError, fit_colours, pca

from ..tiny import seeded


def test_directions_are_those_that_vary_most() -> None:
    spread = torch.tensor([5.0, 1, 9, 1, 3, 1, 1, 1])
    tokens = 20 + spread * torch.randn(4, 36, 8, generator=seeded())
    colours = fit_colours(tokens)
    reference = PCA(3).fit(tokens.flatten(0, 1).numpy())
    along = (colours.directions.numpy() * reference.components_).sum(1)
    np.testing.assert_allclose(np.abs(along), 1, atol=1e-4)
    np.testing.assert_allclose(colours.explained, reference.explained_variance_ratio_, rtol=1e-4)
    assert colours.directions.abs().argmax(1).tolist() == [2, 0, 4]
    images = colours(tokens, 4, 9)
    assert images.shape == (4, 3, 4, 9)
    # Directions are known but for their sign, which turns dark into bright.
    values = reference.transform(tokens.flatten(0, 1).numpy()) * np.sign(along)
    low, high = np.quantile(values, [0.01, 0.99], axis=0)
    expected = ((values - low) / (high - low)).clip(0, 1)
    np.testing.assert_allclose(images.permute(0, 2, 3, 1).reshape(-1, 3), expected, atol=1e-4)


def test_a_gradient_keeps_its_place() -> None:
    """What varies along the columns varies along the columns of the map."""
    ramp = torch.linspace(-1, 1, 10).expand(6, 10)[..., None] * torch.tensor([9.0, 0, 0, 0])
    noise = 0.1 * torch.randn(6, 10, 4, generator=seeded())
    tokens = (ramp + noise).flatten(0, 1)[None]
    first = fit_colours(tokens)(tokens, 6, 10)[0, 0]
    across = first.mean(0).diff()
    assert (across > 0).all() or (across < 0).all()
    assert first.std(0).max() < 0.1


def test_every_image_and_scale_has_the_same_colours() -> None:
    tokens = torch.randn(3, 16, 8, generator=seeded())
    colours = fit_colours(tokens)
    together, alone = colours(tokens, 4, 4), colours(tokens[1:2, :4], 2, 2)
    torch.testing.assert_close(alone[0].flatten(1), together[1].flatten(1)[:, :4])


def test_outliers_do_not_take_the_contrast() -> None:
    tokens = torch.randn(1, 1000, 8, generator=seeded())
    usual = fit_colours(tokens)(tokens, 25, 40).std((2, 3))
    tokens[0, :3] *= 1000
    found = fit_colours(tokens)(tokens, 25, 40)
    assert (found.std((2, 3)) > 0.7 * usual).all()


def test_many_tokens_are_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pca, 'MOST', 50)
    tokens = torch.randn(500, 8, generator=seeded())
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(results))
        results.append(fit_colours(tokens, seed=seed).mean)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_tokens_that_are_all_the_same() -> None:
    tokens = torch.ones(2, 9, 5)
    colours = fit_colours(tokens)
    assert colours(tokens, 3, 3).isfinite().all()
    assert colours.explained.tolist() == [0, 0, 0]


def test_what_has_no_colours() -> None:
    tokens = torch.randn(2, 9, 5, generator=seeded())
    with pytest.raises(EvaluationError, match='at least four tokens'):
        fit_colours(tokens[0, :3])
    with pytest.raises(EvaluationError, match='of three dimensions'):
        fit_colours(tokens[..., :2])
    with pytest.raises(EvaluationError, match='18 of 18 token features are not finite'):
        fit_colours(tokens * torch.nan)
    with pytest.raises(EvaluationError, match=r'3×4 patches \(B, 12, 5\) is needed'):
        fit_colours(tokens)(tokens, 3, 4)
