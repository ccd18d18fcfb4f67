"""Pictures of attention: one brightness across scales, and the frame on the patch that asks."""

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from xscale.evaluation import attended

from ..tiny import seeded

BANDS = ('red', 'green', 'blue')


def test_scales_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []

    def keep(figure: Figure, path: Path) -> Path:
        drawn.append(figure)
        return path

    monkeypatch.setattr(attended, 'save_figure', keep)
    image = torch.rand(2, 3, 32, 32, generator=seeded())
    shown = image, torch.ones(2), torch.ones(2, 1, 32, 32, dtype=torch.bool)
    share = torch.rand(2, 4, 4, generator=seeded(1))
    fine = {'class token': share, 'middle patch': share.flip(1)}
    coarse = {name: maps / 2 for name, maps in fine.items()}
    attended.draw_attention({1.0: (shown, fine), 0.25: (shown, coarse)}, BANDS, tmp_path / 'a.png')
    axes = drawn[0].axes
    assert len(axes) == 2 * 6
    titles = [one.get_title() for one in axes[:6]]
    assert titles == ['100 %', 'class token', 'middle patch', '25 %', 'class token', 'middle patch']
    pictures = [torch.from_numpy(one.images[0].get_array().filled()) for one in axes]
    for row in range(2):
        torch.testing.assert_close(pictures[6 * row + 1], share[row] / share[row].max())
        # Half the attention at the coarse scale is half as bright.
        torch.testing.assert_close(pictures[6 * row + 4], pictures[6 * row + 1] / 2)
    frame = axes[0].patches[0]
    assert (*frame.get_xy(), frame.get_width()) == (15.5, 15.5, 8)


def test_a_file_is_written(tmp_path: Path) -> None:
    shown = torch.rand(1, 3, 16, 16), torch.ones(1), torch.ones(1, 1, 16, 16, dtype=torch.bool)
    path = attended.draw_attention(
        {1.0: (shown, {'class token': torch.zeros(1, 2, 2)})}, BANDS, tmp_path / 'new' / 'a.png'
    )
    assert path.read_bytes().startswith(b'\x89PNG')
