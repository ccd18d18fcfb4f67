"""Train encoders to segment, frozen and whole, and measure them across scales."""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ..datasets.masked import Masked
from ..encoders import Embedder
from ..encoders.load import load_encoders
from ..errors import ConfigError
from ..evaluation.features import Look
from ..evaluation.intervals import paired_difference
from ..evaluation.measure import Draws, plain
from ..evaluation.segmentation import mean_iou, measure_maps, measure_scales, resampled
from ..evaluation.segmenters import Segmenter, count_images, segmented, untrained
from ..recipes import task_settings
from ..tasks import Segmentation
from ..types import Sample
from .settings import Tuning
from .start import start_of, why_not
from .tiles import Tiles, choose_tile
from .training import build, train

#: How encoders are trained: what people read, and the recipe.
WAYS = {'frozen': 'segment/frozen', 'fine-tuned': 'segment/finetune'}

#: What is said of how an answer without a network was trained.
UNTRAINED = '–'

#: Test images that are drawn.
PICTURED = 6


class TrainedSegmenter:
    """A trained task as what segments images of any scale."""

    def __init__(self, task: Segmentation) -> None:
        """Wrap it.

        Args:
            task: The task, in evaluation mode.
        """
        self.task, self.patch = task, int(task.model.patch_embed.patch_size[0])

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


def segment(
    names: Sequence[str],
    data: Masked,
    models: Path,
    tuning: Tuning | None = None,
    *,
    scales: Sequence[float] = (0.125, 0.25, 0.5, 1.0),
    draws: Draws | None = None,
    sensor: str | None = None,
) -> Segmentations:
    """Train encoders and random weights of their architecture to segment, and measure them.

    Each is trained twice, ``frozen`` and ``fine-tuned``, with the same head to begin with and on
    the same batches, and is measured after the last step, on all pixels of the test images. Beside
    them stand what needs no network (:func:`~xscale.evaluation.segmenters.untrained`).

    Args:
        names: Checkpoints, released files, timm's vision transformers, or ``random:MODEL``.
        data: As :func:`~xscale.datasets.masked.open_masked` gives them.
        models: Folder for the trained weights.
        tuning: How they are trained.
        scales: Sides of the test images over their own.
        draws: For the intervals.
        sensor: Which sensor of a checkpoint the data are of; found by values by default.

    Raises:
        XScaleError: If an encoder or the data cannot be used; nothing is trained then.
    """
    tuning, draws = tuning or Tuning(), draws or Draws()
    found = load_encoders(names, data.bands, data.dtype, sensor)
    encoders = {n: one for n, one in found.items() if one[0].kind != 'image-stats'}
    for name, (embedder, _) in encoders.items():
        if reason := why_not(embedder):
            raise ConfigError(f'{name} cannot be trained to segment: {reason}; leave it out')
    patches = [embedder.patch for embedder, _ in encoders.values()]
    tiles = Tiles(data, choose_tile(data, tuning.tile, patches))
    scales = tuple(sorted({*scales, 1.0}))
    if round(min(scales) * tiles.side) < 1:
        raise ConfigError(f'the scale {min(scales):g} of {tiles.side} px is no pixel')
    result = Segmentations(tiles, tuning, scales, {}, tiles.some(PICTURED))
    measured = _Measured(result, draws)
    for name, (embedder, control) in encoders.items():
        result.models[name] = _described(embedder, control, tiles)
    with tempfile.TemporaryDirectory() as folder:
        starts = {name: start_of(one, Path(folder)) for name, (one, _) in encoders.items()}
        for start in starts.values():
            # What cannot be built is said before anything is trained.
            for recipe in WAYS.values():
                build(Segmentation, tuning.seed, **_settings(recipe, start, tiles, tuning))
        module = tiles.module(tuning)
        for number, (name, start) in enumerate(starts.items()):
            for way, recipe in WAYS.items():
                settings = _settings(recipe, start, tiles, tuning)
                task = build(Segmentation, tuning.seed, **settings)
                path = models / f'{number}_{slug(name)}_{way}.ckpt'
                trained = train(
                    task,
                    module,
                    epochs=tuning.epochs,
                    device=tuning.device,
                    title=f'{name}, {way}',
                    path=path,
                )
                segmenter = TrainedSegmenter(trained.task)
                numbers = measured.add(name, way, segmenter, (False, True))
                numbers['training'] = trained.plain(tuning.epochs) | {
                    'lr': settings['lr'],
                    'batch_size': module.batch_size,
                    'checkpoint': f'models/{path.name}',
                }
    for name, segmenter in untrained(tiles.statistics).items():
        result.models[name] = {'kind': 'no network', 'control': True, 'notes': [], 'warnings': []}
        # What has no patches takes every size as it is.
        measured.add(name, UNTRAINED, segmenter, (False,))
    result.comparisons = measured.compare()
    return result


def _described(embedder: Embedder, control: bool, tiles: Tiles) -> dict[str, Any]:
    """Fit an encoder to the data, and say what it is and what to doubt."""
    warnings = embedder.fit_data(tiles.mean.tolist(), tiles.std.tolist())
    for warning in warnings:
        print(f'warning: {embedder.name}: {warning}', file=sys.stderr)
    if embedder.uses_gsd and not tiles.known:
        raise ConfigError(
            f'{embedder.name} needs metres per pixel, and images of {tiles.data.name} do not say '
            'them; give them (--gsd METRES)'
        )
    return {
        'kind': embedder.kind,
        'control': control,
        'parameters': sum(one.numel() for one in embedder.parameters()),
        'uses_gsd': embedder.uses_gsd,
        'notes': list(embedder.notes),
        'warnings': warnings,
    }


def _settings(recipe: str, start: Mapping[str, Any], tiles: Tiles, tuning: Tuning) -> dict:
    own = {
        'num_classes': len(tiles.data.classes.names),
        'decoder': tuning.decoder,
        'decoder_channels': tuning.decoder_channels,
    }
    rate = {} if tuning.lr is None else {'lr': tuning.lr}
    return {**task_settings(recipe), **own, **start, **rate}


class _Measured:
    """Measures what segments, and remembers what comparisons rest on."""

    def __init__(self, result: Segmentations, draws: Draws) -> None:
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
                best = max(
                    rivals, key=lambda key: models[key[0]]['segment'][key[1]]['miou']['score']
                )
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


def slug(name: str) -> str:
    """Return a name that can be one of a file."""
    return ''.join(one if one.isalnum() or one in '-_.' else '-' for one in name)
