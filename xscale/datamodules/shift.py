"""How far do two images of one place lie apart?"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Below this many deviations above the mean a peak of the correlation is one by chance.
CLEAR = 6.0


class Shift(NamedTuple):
    """By how much one image lies beside another.

    Attributes:
        down: Pixels.
        right: Pixels.
        clear: Height of the correlation's peak in deviations above its mean; below
            :data:`CLEAR` the two have too little in common to tell.
    """

    down: float
    right: float
    clear: float


def measure_shift(
    image: NDArray[np.floating], other: NDArray[np.floating], valid: NDArray[np.bool_]
) -> Shift:
    """Measure the shift between two images by phase correlation of their edges.

    Edges are compared because sensors of other bands see other brightness, but borders at the
    same places (Kuglin and Hines 1975; the peak is refined by a parabola along each axis).

    Args:
        image: Shape (H, W).
        other: Shape (H, W); positive shifts mean that it lies further down and right.
        valid: Where both hold data, (H, W).
    """
    height, width = image.shape
    window = np.outer(np.hanning(height), np.hanning(width)) * valid
    spectra = [np.fft.rfft2(_edges(one, valid) * window) for one in (image, other)]
    cross = spectra[1] * spectra[0].conj()
    # The highest frequencies are noise and interpolation.
    rows = np.fft.fftfreq(height)[:, None]
    keep = np.hypot(rows, np.fft.rfftfreq(width)) < 0.35
    correlation = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-12) * keep, s=(height, width))
    row, col = np.unravel_index(correlation.argmax(), correlation.shape)
    peak = correlation[row, col]
    spread = max(float(correlation.std()), 1e-12)
    down = int(row) + _vertex(correlation[(row + np.array([-1, 0, 1])) % height, col])
    right = int(col) + _vertex(correlation[row, (col + np.array([-1, 0, 1])) % width])
    return Shift(
        (down + height / 2) % height - height / 2,
        (right + width / 2) % width - width / 2,
        float((peak - correlation.mean()) / spread),
    )


def _edges(image: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the strength of the edges, brought to mean 0; none where data is missing or near."""
    filled = np.where(valid, image, 0.0).astype(np.float64)
    strength = np.hypot(*np.gradient(filled))
    # The rim of a hole is no edge of the ground.
    inner = np.pad(valid, 1, mode='edge')
    inner = valid & inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    return (strength - strength[inner].mean()) * inner if inner.any() else np.zeros_like(strength)


def _vertex(three: NDArray[np.float64]) -> float:
    """Return where a parabola through three values at −1, 0 and 1 is highest."""
    bend = three[0] - 2 * three[1] + three[2]
    return 0.0 if bend == 0 else float(0.5 * (three[0] - three[2]) / bend)
