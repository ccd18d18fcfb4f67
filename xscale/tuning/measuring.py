"""Measure what segments: on all pixels of the test images, at each scale."""

import sys
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ..evaluation.features import Look
from ..evaluation.intervals import paired_difference
from ..evaluation.measure import Draws, plain
from ..evaluation.segmentation import mean_iou, measure_maps, measure_scales, resampled
from ..evaluation.segmenters import Segmenter, count_images, segmented
from ..models.vit import patch_size
from ..tasks import Segmentation
from ..types import Sample
from .settings import Tuning
from .tiles import Tiles

#: What is said of how an answer without a network was trained.
UNTRAINED = '–'


class TrainedSegmenter:
    """A trained task as what segments images of any scale."""

    def __init__(self, task: Segmentation) -> None:
        """Wrap it.

        Args:
            task: The task, in evaluation mode.
        """
        self.task, self.patch = task, patch_size(task.model)

    def input_side(self, side: int, fixed: bool) -> int:
        """Return the nearest multiple of the patch, at least one patch.

        Args:
            side: Side of the image in pixels.
            fixed: Not used: an image that was enlarged has its full side.
        """
        return max(self.patch, round(side / self.patch) * self.patch)

    def __call__(self, image: Tensor, gsd: Tensor, valid: Tensor) -> Tensor:
        """Segment images; see :class:`~xscale.evaluation.segmenters.Segmenter`."""
        batch = {'image': image, 'gsd': gsd, 'valid': valid}
        return self.task.head(self.task.features, *self.task.prepared(batch))


@dataclass
class Segmentations:
    """What came of training encoders to segment.

    Attributes:
        tiles: The data, looked at.
        tuning: How they were trained.
        scales: Sides of test images over their own.
        models: What was measured of each, as plain numbers, by name; ``segment`` by way.
        shown: Test images that are drawn.
        maps: By name and way what each was segmented to at each scale, (B, S, S).
        comparisons: Each model, trained one way, against the best of each kind of control.
    """

    tiles: Tiles
    tuning: Tuning
    scales: tuple[float, ...]
    models: dict[str, dict[str, Any]]
    shown: Sample
    maps: dict[tuple[str, str], dict[float, Tensor]] = field(default_factory=dict)
    comparisons: list[dict[str, Any]] = field(default_factory=list)


class Measured:
    """Measures what segments, and remembers what comparisons rest on."""

    def __init__(self, result: Segmentations, draws: Draws) -> None:
        """Begin with nothing.

        Args:
            result: Where what is measured goes.
            draws: For the intervals.
        """
        self.result, self.draws = result, draws
        self.full: dict[tuple[str, str], Tensor] = {}

    def add(
        self, name: str, way: str, segmenter: Segmenter, enlarged: tuple[bool, ...]
    ) -> dict[str, Any]:
        """Measure at full scale and across scales.

        Args:
            name: Of the model.
            way: How it was trained.
            segmenter: What segments.
            enlarged: Whether coarser images are enlarged again: both, or one of both.
        """
        result, tuning = self.result, self.result.tuning
        tiles, coarse = result.tiles, [scale for scale in result.scales if scale < 1]
        looks = [Look(), *(Look(scale, fixed) for fixed in enlarged for scale in coarse)]
        batches = tiles.batches(tuning)
        classes = tiles.data.classes.names
        total = len(tiles.test) * len(looks)
        with tqdm(total=total, desc=f'{name}, {way}: test', unit='tile', file=sys.stderr) as bar:
            counts = count_images(segmenter, batches, tiles.images, looks, len(classes), bar.update)
        self.full[name, way] = counts[Look()]
        numbers = measure_maps(counts[Look()], classes, self.draws)
        numbers['scales'] = {
            str(Look(fixed=fixed)): measure_scales(
                {s: counts[Look(s, fixed) if s < 1 else Look()] for s in result.scales},
                self.draws,
            )
            for fixed in enlarged
        }
        shown = {key: value.to(tuning.device) for key, value in result.shown.items()}
        result.maps[name, way] = {
            scale: segmented(segmenter, shown, Look(scale) if scale < 1 else Look()).cpu()
            for scale in result.scales
        }
        result.models[name].setdefault('segment', {})[way] = numbers
        return numbers

    def compare(self) -> list[dict[str, Any]]:
        """Compare each model, trained one way, with the best control of each kind."""
        models, found = self.result.models, []
        for (name, way), matrices in self.full.items():
            if models[name]['control']:
                continue
            others = [key for key in self.full if models[key[0]]['control']]
            for kind in (way, UNTRAINED):
                rivals = [key for key in others if key[1] == kind]
                if not rivals:
                    continue
                best = max(rivals, key=self._miou)
                apart = paired_difference(
                    resampled(matrices, mean_iou),
                    resampled(self.full[best], mean_iou),
                    count=len(matrices),
                    samples=self.draws.samples,
                    seed=self.draws.seed,
                )
                said = {'model': name, 'way': way, 'control': best[0], 'control_way': kind}
                found.append(said | plain(apart))
        return found

    def _miou(self, key: tuple[str, str]) -> float:
        name, way = key
        return float(self.result.models[name]['segment'][way]['miou']['score'])
