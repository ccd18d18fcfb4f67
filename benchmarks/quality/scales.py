"""Which objective holds when scale changes?

Pretrains a small vision transformer from scratch three ways, on the same images, for the same
number of steps and of views: MAE; Cross-Scale MAE with the terms and quirks of its released code;
Cross-Scale MAE with prediction at the same ground and negatives that share none. Then evaluates
the three across scales beside the controls, with ``xscale evaluate``.

The images are the training images of a labelled folder, without their labels, and a folder of
GeoTIFFs. Images without a georeference are written as GeoTIFFs of their own places first, all at
one nominal GSD.

Usage: ``python benchmarks/quality/scales.py LABELLED [GEOTIFFS …] [--steps 2700] [--out FOLDER]``
"""

import argparse
import contextlib
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from xscale.cli import main as xscale
from xscale.cli import parser
from xscale.commands.pretrain import pretrain

#: Nominal metres per pixel of images that do not say.
NOMINAL = 2.0

#: Side of a view in pixels. A tile is at most 150 px, so the smallest crop is 0.41 of its area.
SIZE, SCALE = 96, ('0.41', '0.8')

#: A decoder in proportion to the encoder; attention that starts local, for all three.
DECODER = {'decoder_dim': 192, 'decoder_depth': 4, 'decoder_heads': 6, 'init': 'local'}
PREDICTOR = {'predictor_hidden': 512}

#: The objective, the images of a batch (so that views are as many), and options beside the recipe.
ARMS = {
    'mae': ('mae', 2, {}),
    'released': ('cross_scale_mae_released', 1, PREDICTOR),
    'ground': ('cross_scale_mae', 1, PREDICTOR),
}


def write_tiffs(labelled: Path, out: Path) -> None:
    """Write the training images as GeoTIFFs, each a kilometre from the next."""
    out.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(sorted((labelled / 'train').rglob('*.jpg'))):
        pixels = np.asarray(Image.open(path).convert('RGB')).transpose(2, 0, 1)
        east, north = 300_000 + number % 40 * 1000, 5_000_000 - number // 40 * 1000
        profile = {
            'driver': 'GTiff',
            'count': 3,
            'dtype': 'uint8',
            'height': pixels.shape[1],
            'width': pixels.shape[2],
            'crs': 'EPSG:32631',
            'transform': from_origin(east, north, NOMINAL, NOMINAL),
        }
        with rasterio.open(out / f'{number:05d}.tif', 'w', **profile) as target:
            target.write(pixels)
            target.descriptions = ('red', 'green', 'blue')


def train(
    folders: list[str],
    out: Path,
    options: argparse.Namespace,
    arm: str = 'ground',
    changed: Mapping[str, Any] | None = None,
    more: Sequence[str] = (),
) -> Path:
    """Pretrain one way; a run that is there already is kept."""
    if (out / 'last.ckpt').exists():
        return out / 'last.ckpt'
    objective, images, extra = ARMS[arm]
    flags = [
        *('pretrain', *folders, '--bands', 'red,green,blue', '--objective', objective),
        *('--model', options.model, '--size', str(SIZE), '--scale', *SCALE),
        *('--batch-size', str(options.batch * images), '--lr', str(options.lr)),
        *('--max-steps', str(options.steps), '--save-every', str(options.steps)),
        *('--seed', str(options.seed), '--out', str(out), *more),
    ]
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pretrain(parser().parse_args(flags), DECODER | extra | (changed or {}), devices=1)
    minutes = (time.perf_counter() - start) / 60
    print(f'{out.name}: {options.steps} steps in {minutes:.1f} min', flush=True)
    return out / 'last.ckpt'


def arguments(title: str, steps: int) -> tuple[argparse.Namespace, list[str]]:
    """Read the flags, and make the folders to train on."""
    flags = argparse.ArgumentParser(description=title)
    flags.add_argument('labelled', type=Path, help='folder with train/CLASS and test/CLASS')
    flags.add_argument('geotiffs', nargs='*', help='folders of GeoTIFFs')
    flags.add_argument('--model', default='vit_tiny_patch16_224')
    flags.add_argument('--batch', type=int, default=64)
    flags.add_argument('--steps', type=int, default=steps)
    flags.add_argument('--lr', type=float, default=1e-3)
    flags.add_argument('--seed', type=int, default=0)
    flags.add_argument('--out', type=Path, default=Path('runs/scales'))
    options = flags.parse_args()
    images = options.out / 'images'
    if not images.exists():
        write_tiffs(options.labelled, images)
    return options, [str(images), *options.geotiffs]


def main() -> None:
    """Train and evaluate."""
    options, folders = arguments(__doc__.splitlines()[0], 2700)
    checkpoints = [str(train(folders, options.out / arm, options, arm)) for arm in ARMS]
    report = options.out / 'report'
    xscale(['evaluate', *checkpoints, str(options.labelled), '--out', str(report)])


if __name__ == '__main__':
    main()
