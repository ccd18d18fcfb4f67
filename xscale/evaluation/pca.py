"""Maps of features: the three directions in which tokens vary most, as red, green and blue."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .checks import EvaluationError, check_features

#: Tokens that the directions are found on, at most.
MOST = 50_000
#: Quantiles that become black and white.
DARK, BRIGHT = 0.01, 0.99


@dataclass(frozen=True, slots=True)
class Colours:
    """How tokens become colours: the same for every image and scale.

    Attributes:
        mean: Mean of the tokens it was found on, shape (D,).
        directions: The three directions, most varying first, shape (3, D).
        low: What becomes 0 along each, shape (3,).
        high: What becomes 1, shape (3,).
        explained: Share of the variance along each, shape (3,).
    """

    mean: Tensor
    directions: Tensor
    low: Tensor
    high: Tensor
    explained: Tensor

    def __call__(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Colour tokens.

        Args:
            tokens: Patch tokens, row by row, shape (B, N, D).
            height: Patches down.
            width: Patches right.

        Returns:
            Images of a pixel for each patch, 0 to 1, shape (B, 3, height, width), float32.

        Raises:
            EvaluationError: If the tokens are of another width or do not fill the grid.
        """
        if tokens.ndim != 3 or tokens.shape[1:] != (height * width, len(self.mean)):
            raise EvaluationError(
                f'tokens of shape {tuple(tokens.shape)} came; for a map of {height}×{width} '
                f'patches (B, {height * width}, {len(self.mean)}) is needed: patch tokens only, '
                'of the encoder the colours were found for'
            )
        along = (tokens.float() - self.mean) @ self.directions.mT
        shown = (along - self.low) / (self.high - self.low).clamp(min=1e-12)
        return shown.clamp(0, 1).mT.unflatten(-1, (height, width))


def fit_colours(tokens: Tensor, *, seed: int = 0) -> Colours:
    """Find the three directions in which tokens of many images vary most.

    Principal components, as DINOv2 shows its features (Oquab et al., arXiv:2304.07193). The first
    and last hundredth along each direction become black and white, so that a few outliers do not
    take all contrast.

    Args:
        tokens: Patch tokens of all images to be shown, at all scales, shape (N, D), or a batch of
            one shape, (B, N, D).
        seed: Decides which are looked at where there are more than 50,000.

    Raises:
        EvaluationError: If they are fewer than four, have fewer than three dimensions, or are not
            finite.
    """
    from sklearn.decomposition import PCA

    tokens = tokens.flatten(0, -2)
    check_features(tokens, 'token')
    if len(tokens) < 4 or tokens.shape[1] < 3:
        raise EvaluationError(
            f'tokens of shape {tuple(tokens.shape)} came; three colours need at least four tokens '
            'of three dimensions'
        )
    if len(tokens) > MOST:
        generator = torch.Generator().manual_seed(seed)
        tokens = tokens[torch.randperm(len(tokens), generator=generator)[:MOST]]
    values: NDArray[np.float64] = tokens.double().numpy()
    with np.errstate(invalid='ignore'):
        # Tokens that are all the same have no variance to share out.
        found = PCA(3, svd_solver='covariance_eigh').fit(values)
    low, high = np.quantile(found.transform(values), [DARK, BRIGHT], axis=0)
    share = np.nan_to_num(found.explained_variance_ratio_)
    numbers = (found.mean_, found.components_, low, high, share)
    return Colours(*(torch.tensor(number, dtype=torch.float32) for number in numbers))
