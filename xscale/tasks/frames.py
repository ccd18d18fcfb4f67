"""Several images of one place in a batch."""

from ..errors import ConfigError
from ..models.frames import of_images
from ..types import Sample

#: What a batch says of each image, or of each place.
OF_IMAGE = ('image', 'valid', 'gsd', 'sensor', 'time')


def line_up(batch: Sample, wanted: int) -> tuple[Sample, int]:
    """Put the images of each place one after another, as rows of a batch.

    Args:
        batch: What the data loader gave; of several images of a place ``image`` is of shape
            (B, T, C, H, W).
        wanted: Images of a place that the objective takes.

    Returns:
        The batch with rows for images, B · T of them, and T.

    Raises:
        ConfigError: If there are more or fewer images of a place.
    """
    image = batch['image']
    frames = image.shape[1] if image.ndim == 5 else 1
    if frames != wanted:
        raise ConfigError(
            f'the batch holds {frames} images of each place and the objective takes {wanted}; set '
            f'frames: {wanted} of the data, or the option frames: {frames} of an objective that '
            'takes several'
        )
    if image.ndim < 5:
        return batch, 1
    rows = dict(batch)
    for name in OF_IMAGE:
        if name in batch:
            rows[name] = of_images(name, batch[name], len(image), frames)
    return rows, frames
