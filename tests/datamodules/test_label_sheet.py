"""Pictures of labelled samples."""

import numpy as np
import torch

from xscale.datamodules.label_sheet import COLOURS, draw_labelled

from ..tiny import seeded

CLASSES = ('ground', 'roof', 'road')


def scene() -> dict[str, torch.Tensor]:
    image = torch.rand(4, 8, 8, generator=seeded()) * 3000
    valid = torch.ones(1, 8, 8, dtype=torch.bool)
    valid[:, 0] = False
    return {'image': image, 'valid': valid, 'gsd': torch.tensor(0.5)}


def test_masks_and_predictions() -> None:
    """Each class its colour, the same in both; what is not labelled is white."""
    mask = torch.ones(8, 8, dtype=torch.int64)
    mask[:, 4:] = 0
    mask[0] = 255
    sample = scene() | {'mask': mask, 'prediction': torch.full((8, 8), 2)}
    figure = draw_labelled(sample, ('blue', 'green', 'red', 'nir'), CLASSES)
    image, drawn, predicted = (axis.images[0].get_array() for axis in figure.axes)
    np.testing.assert_allclose(drawn[1, 0], COLOURS[1], rtol=1e-6)
    np.testing.assert_allclose(drawn[1, 7], COLOURS[0], rtol=1e-6)
    assert (np.asarray(drawn[0]) == 1).all()
    np.testing.assert_allclose(predicted[0, 0], COLOURS[2], rtol=1e-6)
    assert np.corrcoef(image[1:, :, 0].ravel(), sample['image'][2, 1:].ravel())[0, 1] > 0.95
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(CLASSES)
    assert figure.axes[0].get_title() == '0.5 m'


def test_labels() -> None:
    sample = scene() | {'label': torch.tensor(1), 'prediction': torch.tensor(2)}
    figure = draw_labelled(sample, ('1', '2', '3', '4'), CLASSES)
    (axis,) = figure.axes
    assert axis.get_title() == '0.5 m\nroof\npredicted: road'
    several = scene() | {'label': torch.tensor([True, False, True]), 'gsd': torch.tensor(np.nan)}
    (axis,) = draw_labelled(several, ('1', '2', '3', '4'), CLASSES).axes
    assert axis.get_title() == 'GSD not known\nground, road'
