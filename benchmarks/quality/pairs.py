"""Do true pairs of two sensors teach more about scale than crops of one image?

Pretrains a small vision transformer on synthetic worlds seen by two sensors, for the same number
of steps each way: on crops of one image, and on pairs of the aerial and the satellite image of one
place. Then it asks, in a world that was not trained on, whether a place seen by one sensor at one
ground sample distance finds places of its own class seen by the other: 20 nearest neighbours,
cosine similarity, weighted. An encoder that was not trained is the control.

Usage: ``python benchmarks/quality/pairs.py [--steps 600] [--seeds 2] [--out FOLDER]``
"""

import argparse
import contextlib
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
import torch
from lightly.utils.benchmarking.knn import knn_predict
from matplotlib import figure
from rasterio.warp import transform
from rasterio.windows import Window

import xscale
from xscale.cli import parser
from xscale.commands.demo import OPTIONS
from xscale.commands.pretrain import pretrain as run
from xscale.datasets.world import CLASSES, write_world
from xscale.models.checkpoint import Encoder

#: Side of a scene in metres, and the share of it that its class covers at least.
SIDE, SHARE = 320.0, 0.45

#: Scenes of a class below which it is left out.
FEW = 20

#: The worlds trained on and tested on.
TRAINED, TESTED = range(5), range(100, 103)

#: What is compared: flags of ``xscale pretrain``.
ARMS = {
    'crops of one image': ('--balance', 'gsd', '--temperature', '1e6'),
    'true pairs, half': ('--pairs', '--pair-share', '0.5'),
    'true pairs only': ('--pairs', '--pair-share', '1'),
}

#: Metres per pixel at which aerial scenes are looked at; the satellite's are 10 m.
AERIAL = (1.0, 2.0, 3.33)

type Scenes = tuple[torch.Tensor, torch.Tensor]


def pretrain(world: Path, out: Path, arm: str, steps: int, seed: int) -> None:
    """Train one way; the steps, the batches and the model are the same for all."""
    flags = [
        *('pretrain', str(world), '--bands', 'red,green,blue', '--model', 'vit_tiny_patch16_224'),
        *('--size', '96', '--batch-size', '32', '--lr', '1e-3', '--max-steps', str(steps)),
        *('--save-every', str(steps), '--seed', str(seed), '--out', str(out), *ARMS[arm]),
    ]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run(parser().parse_args(flags), OPTIONS, devices=1)


def scenes(folder: Path, gsd: float) -> Scenes:
    """Cut the tiles of a world into scenes of one class.

    Every aerial image is cut; at 10 m the same squares of ground are cut from the satellite's.

    Returns:
        Images, (N, 3, S, S), and their classes, (N,).
    """
    images, labels = [], []
    satellite = folder / 'images/sentinel2/world_20240615.tif'
    for path in sorted((folder / 'images/aerial').glob('*.tif')):
        with rasterio.open(path) as source, rasterio.open(satellite) as wide:
            truth = rasterio.open(folder / 'labels/aerial' / path.name).read(1)
            metres = float(source.tags()['GSD'])
            step = round(SIDE / metres)
            for row in range(0, source.height - step + 1, step // 2):
                for col in range(0, source.width - step + 1, step // 2):
                    part = truth[row : row + step, col : col + step]
                    share = np.bincount(part.ravel(), minlength=len(CLASSES)) / part.size
                    if share.max() < SHARE:
                        continue
                    labels.append(int(share.argmax()))
                    window = Window(col, row, step, step)
                    images.append(_cut(source, wide, window, gsd))
    return torch.from_numpy(np.stack(images)).float(), torch.tensor(labels)


def _cut(
    source: rasterio.DatasetReader, wide: rasterio.DatasetReader, window: Window, gsd: float
) -> np.ndarray:
    """Read a scene from the aerial image, or the same ground from the satellite's at 10 m."""
    if gsd < 10:
        side = 16 * round(SIDE / gsd / 16)
        average = rasterio.enums.Resampling.average
        return source.read([1, 2, 3], window=window, out_shape=(3, side, side), resampling=average)
    x, y = source.transform * (
        window.col_off + window.width / 2,
        window.row_off + window.height / 2,
    )
    (x,), (y,) = transform(source.crs, wide.crs, [x], [y])
    side = round(SIDE / 10)
    col, row = ~wide.transform * (x, y)
    place = Window(round(col) - side // 2, round(row) - side // 2, side, side)
    return wide.read([3, 2, 1], window=place, boundless=True)


@torch.inference_mode()
def features(encoder: Encoder, images: torch.Tensor, gsd: float) -> torch.Tensor:
    """Encode scenes at their own ground sample distance."""
    name = 'naip' if gsd < 10 else 'sentinel-2'
    sensor = next(s.name for s in encoder.sensors if s.name.startswith(name))
    pooled = [encoder(part, SIDE / part.shape[-1], sensor).pooled for part in images.split(64)]
    return torch.nn.functional.normalize(torch.cat(pooled), dim=-1)


def accuracy(encoder: Encoder, sets: dict[float, Scenes]) -> np.ndarray:
    """Return the share of places of one GSD whose neighbours of another tell their class.

    Returns:
        Rows are the GSD of the question, columns that of the answers, balanced over classes.
    """
    known = {gsd: features(encoder, images, gsd) for gsd, (images, _) in sets.items()}
    table = np.zeros((len(sets), len(sets)))
    for i, asked in enumerate(sets):
        for j, answers in enumerate(sets):
            table[i, j] = _knn(known[asked], sets[asked][1], known[answers], sets[answers][1])
    return table


def _knn(
    query: torch.Tensor, wanted: torch.Tensor, bank: torch.Tensor, labels: torch.Tensor
) -> float:
    """Leave out the place itself and those that share ground with it: every other half is asked."""
    half = torch.arange(len(query)) < len(query) // 2
    hits = torch.zeros(len(query))
    for asked in (half, ~half):
        found = knn_predict(query[asked], bank[~asked].T, labels[~asked], len(CLASSES), 20, 0.07)
        hits[asked] = (found[:, 0] == wanted[asked]).float()
    return float(np.mean([float(hits[wanted == label].mean()) for label in wanted.unique()]))


def join(parts: Sequence[Scenes]) -> Scenes:
    """Put the scenes of several worlds together; classes of few scenes are left out."""
    images, labels = (torch.cat(part) for part in zip(*parts, strict=True))
    enough = (labels.bincount(minlength=len(CLASSES)) >= FEW)[labels]
    return images[enough], labels[enough]


def untrained(encoder: Encoder, seed: int) -> Encoder:
    """Return the same encoder with weights drawn anew."""
    from xscale.models.vit import create_encoder

    torch.manual_seed(seed)
    model = create_encoder('vit_tiny_patch16_224')
    return Encoder(model, encoder.contract).eval()


def show(name: str, tables: Sequence[np.ndarray], gsds: Sequence[float]) -> None:
    """Print what an arm gives, in parentheses seed by seed."""
    mean = np.mean(tables, 0)
    apart = ~np.eye(len(gsds), dtype=bool)
    across = [float(table[apart].mean()) for table in tables]
    sensors = [float((t[:-1, -1].mean() + t[-1, :-1].mean()) / 2) for t in tables]
    print(
        f'\n{name}: one GSD {np.diag(mean).mean():.1%}, across GSDs {np.mean(across):.1%}', end=''
    )
    print(
        f' (seeds {", ".join(f"{v:.1%}" for v in across)}), across sensors {np.mean(sensors):.1%}'
    )
    print('asked at \\ answered at ' + ' '.join(f'{gsd:>7.3g} m' for gsd in gsds))
    for gsd, row in zip(gsds, mean, strict=True):
        print(f'{gsd:>20.3g} m ' + ' '.join(f'{value:>9.1%}' for value in row))


def draw(results: dict[str, Sequence[np.ndarray]], gsds: Sequence[float], path: Path) -> None:
    """Draw accuracy for each pair of GSDs, arm by arm."""
    fig = figure.Figure(figsize=(3.1 * len(results), 3.4), layout='constrained')
    axes = fig.subplots(1, len(results), sharey=True)
    names = [f'{gsd:.3g} m' for gsd in gsds]
    for axis, (name, tables) in zip(axes, results.items(), strict=True):
        table = np.mean(tables, 0)
        axis.imshow(table, vmin=0.15, vmax=0.9, cmap='viridis')
        for (row, col), value in np.ndenumerate(table):
            axis.text(col, row, f'{value:.0%}', ha='center', va='center', color='white')
        axis.set_title(name, fontsize=9)
        axis.set_xticks(range(len(gsds)), names)
        axis.set_yticks(range(len(gsds)), names)
        axis.set_xlabel('answered at')
    axes[0].set_ylabel('asked at')
    fig.savefig(path, dpi=120)


def main() -> None:
    """Print the figures."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument('--steps', type=int, default=600)
    flags.add_argument('--seeds', type=int, default=2)
    flags.add_argument('--out', type=Path, default=None)
    options = flags.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        for seed in [*TRAINED, *TESTED]:
            world = out / ('trained' if seed in TRAINED else 'tested') / str(seed)
            if not (world / 'labels').exists():
                write_world(world, seed=seed, extent=5400.0)
        gsds = (*AERIAL, 10.0)
        worlds = [out / 'tested' / str(seed) for seed in TESTED]
        sets = {gsd: join([scenes(world, gsd) for world in worlds]) for gsd in gsds}
        labels = sets[10.0][1]
        counts = {CLASSES[label]: int((labels == label).sum()) for label in labels.unique()}
        print(f'{len(labels)} scenes of {SIDE:.0f} m: {counts}')
        results: dict[str, list[np.ndarray]] = {'not trained': []}
        for seed in range(options.seeds):
            for arm in ARMS:
                name = f'{arm} {options.steps} {seed}'.replace(' ', '-').replace(',', '')
                if not (out / name / 'last.ckpt').exists():
                    pretrain(out / 'trained', out / name, arm, options.steps, seed)
                encoder = xscale.load(out / name / 'last.ckpt')
                results.setdefault(arm, []).append(accuracy(encoder, sets))
                print(f'{arm}, seed {seed}: done', flush=True)
            results['not trained'].append(accuracy(untrained(encoder, seed), sets))
        for name, tables in results.items():
            show(name, tables, gsds)
        draw(results, gsds, out / 'pairs.png')
        print(f'\nfigure: {out / "pairs.png"}' if options.out else '')


if __name__ == '__main__':
    main()
