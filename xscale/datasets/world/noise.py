"""Texture anchored to the ground: a pure function of place and salt, at any pixel size."""

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


def lattice_values(x: NDArray[np.int64], y: NDArray[np.int64], salt: int) -> Float:
    """Scatter uniform numbers over a lattice.

    Args:
        x: Whole numbers, of any shape that broadcasts with `y`.
        y: Whole numbers.
        salt: Another salt gives other numbers.

    Returns:
        Numbers in [0, 1), a pure function of place and salt.
    """
    h = x.astype(np.uint32) * np.uint32(0x9E3779B1) ^ y.astype(np.uint32) * np.uint32(0x85EBCA77)
    h ^= np.uint32(salt * 0xC2B2AE3D & 0xFFFFFFFF)
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    return ((h ^ (h >> np.uint32(15))) >> np.uint32(8)).astype(np.float32) / np.float32(2**24)


def noise(x: NDArray[np.float64], y: NDArray[np.float64], period: float, salt: int) -> Float:
    """Smooth noise on a grid.

    Args:
        x: Metres east of the columns (W,).
        y: Metres north of the rows (H,).
        period: Metres between the lattice points that the noise runs through.
        salt: Another salt gives other noise.

    Returns:
        Numbers in [-1, 1], shape (H, W).
    """

    def cells(v: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64], Float]:
        cell = np.floor(v / period).astype(np.int64)
        part = (v / period - cell).astype(np.float32)
        lattice = np.arange(cell.min(), cell.max() + 2)
        return lattice, cell - lattice[0], part * part * (3 - 2 * part)

    (columns, i, u), (rows, j, v) = cells(x), cells(y)
    lattice = 2 * lattice_values(columns[None], rows[:, None], salt) - 1
    across = lattice[:, i] + (lattice[:, i + 1] - lattice[:, i]) * u
    return across[j] + (across[j + 1] - across[j]) * v[:, None]


def fractal(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    periods: tuple[float, ...],
    salt: int,
    gsd: float,
) -> Float:
    """Sum noise of several periods; those a pixel cannot resolve fade out.

    Args:
        x: Metres east of the columns (W,).
        y: Metres north of the rows (H,).
        periods: Metres, the strongest first.
        salt: Another salt gives other noise.
        gsd: Metres per pixel.

    Returns:
        Numbers around 0, shape (H, W), of unit variance or so.
    """
    total = np.zeros((len(y), len(x)), np.float32)
    for k, period in enumerate(periods):
        if (weight := min(1.0, max(0.0, period / gsd - 1.0))) > 0:
            total += np.float32(weight * 0.65**k) * noise(x, y, period, salt * 16 + k)
    return total * np.float32(1.4)
