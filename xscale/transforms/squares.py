"""The largest square in the middle of an image, at a side of one's own."""

from ..types import Sample
from .resampling import resample


def middle_square(sample: Sample, side: int) -> Sample:
    """Cut the largest square out of the middle of an image, and bring it to a side.

    Args:
        sample: ``image`` (C, H, W), ``valid`` (1, H, W) bool and ``gsd`` (), metres per pixel.
        side: Of the square that comes out, in pixels.

    Returns:
        The same three, with ``gsd`` of the pixels as they come out.
    """
    image, valid = sample['image'], sample['valid']
    height, width = image.shape[-2:]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    image = image[None, :, top : top + short, left : left + short]
    valid = valid[None, :, top : top + short, left : left + short]
    if short != side:
        image, valid, _ = resample(image, valid, side)
    gsd = sample['gsd'] * short / side
    return {'image': image[0], 'valid': valid[0], 'gsd': gsd.float()}
