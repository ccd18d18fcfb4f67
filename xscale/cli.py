"""The command line. Heavy libraries are imported by the commands that need them."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from . import __version__
from .errors import ConfigError, Stopped, XScaleError
from .recipes import objectives

#: Commands of Lightning's own command line, which take its arguments.
LIGHTNING = ('fit', 'validate', 'test', 'predict')

#: What only Lightning's ``predict`` is given; ours takes a checkpoint and rasters.
BY_YAML = ('-c', '--config', '--model', '--data', '--trainer', '--print_config', '--ckpt_path')

#: What may be given besides folders.
OTHER_PATHS = 'files, addresses (https://, s3://, …), lists of them (.txt), catalogues (.parquet)'


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: Arguments; those of the process by default.

    Returns:
        Exit status: 0, or 2 for input that cannot be used, or 130 when stopped by Ctrl-C and 143
        by SIGTERM.
    """
    args = list(sys.argv[1:] if args is None else args)
    try:
        with _same_interrupts():
            if _for_lightning(args):
                from .commands.fit import fit

                return fit(args)
            return _run(args)
    except BrokenPipeError:
        # Whoever read the output has seen enough of it; nothing is left to be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Stopped as stop:
        return int(stop.code or 0)
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning turns Ctrl-C into an exit with status 1.
        if not isinstance(error, KeyboardInterrupt) and not isinstance(
            error.__context__, KeyboardInterrupt
        ):
            raise
        print('\nxscale: stopped', file=sys.stderr)
        return 130
    except Exception as error:
        cause = _ours(error)
        if cause is None:
            raise
        print(f'xscale: error: {cause}', file=sys.stderr)
        return 2


def _for_lightning(args: list[str]) -> bool:
    """Return whether arguments are for Lightning's command line."""
    if not args or args[0] not in LIGHTNING:
        return False
    flags = (arg.partition('=')[0].partition('.')[0] for arg in args[1:])
    return args[0] != 'predict' or any(flag in BY_YAML for flag in flags)


def _ours(error: BaseException | None) -> XScaleError | None:
    """Find the error meant for the user among those it was raised through."""
    while error is not None and not isinstance(error, XScaleError):
        error = error.__cause__ or error.__context__
    return error


@contextmanager
def _same_interrupts() -> Iterator[None]:
    """Leave Ctrl-C as it was; Lightning ignores it once it has seen one."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _run(args: list[str]) -> int:
    options = parser().parse_args(args)
    if options.command == 'pretrain' and options.resume is not None:
        from .commands.resume import resume

        return resume(options, _given(args[1:]))
    if options.command == 'pretrain':
        from .commands.pretrain import pretrain

        if not options.paths and not options.layer:
            raise ConfigError('which images? xscale pretrain DIR, or --resume RUN to go on')
        return pretrain(options)
    if options.command == 'scan':
        from .commands.scan import scan

        return scan(options)
    if options.command == 'evaluate':
        from .commands.evaluate import evaluate

        return evaluate(options, args)
    if options.command == 'predict':
        from .commands.predict import predict

        return predict(options)
    if options.command == 'convert':
        from .commands.convert import convert

        return convert(options.file, options.out)
    from .commands.demo import demo

    return demo(options.out, options.minutes, options.seed)


def parser() -> argparse.ArgumentParser:
    """Build the parser."""
    top = argparse.ArgumentParser(
        prog='xscale',
        description='Pretrain masked-image models on GeoTIFFs across ground sample distances.',
    )
    top.add_argument('--version', action='version', version=f'xscale {__version__}')
    commands = top.add_subparsers(dest='command', required=True, metavar='COMMAND')
    _add_scan(commands.add_parser('scan', help='say what is in folders of rasters'))
    _add_pretrain(commands.add_parser('pretrain', help='train on a folder of GeoTIFFs, no labels'))
    for name in LIGHTNING:
        text = f'{name} by YAML: xscale {name} -c tasks/….yaml -c datasets/….yaml'
        if name != 'predict':
            commands.add_parser(name, help=text, add_help=False)
    _add_predict(commands.add_parser('predict', help='draw maps of rasters, by a checkpoint'))
    _add_evaluate(commands.add_parser('evaluate', help='measure encoders on labelled images'))
    convert = commands.add_parser('convert', help='turn a released checkpoint into one of ours')
    convert.add_argument('file', help='checkpoint of a released system (.pth)')
    convert.add_argument('--out', required=True, metavar='CKPT', help='where to write ours')
    demo = commands.add_parser('demo', help='make a synthetic world and train on it')
    demo.add_argument('--out', default='runs/demo', metavar='DIR', help='default: %(default)s')
    demo.add_argument(
        '--minutes', type=float, default=2.5, help='of training; default: %(default)s'
    )
    demo.add_argument('--seed', type=int, default=0, help='of world and training')
    return top


def _add_scan(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add('paths', nargs='+', metavar='DIR', help=f'folders of rasters, {OTHER_PATHS}')
    add('--bands', metavar='A,B,…', help='say which files have these bands, and where')
    add('--rules', metavar='FILE', help='YAML that says which band is red, …; or a TorchGeo class')
    add('--json', action='store_true', help='print JSON, file by file')
    add('--preview', metavar='DIR', help='draw a map of the footprints and a sheet of tiles there')
    add('--size', type=int, default=128, metavar='PX', help='side of those tiles; %(default)s')
    add('--tiles', type=int, default=24, metavar='N', help='how many; %(default)s')
    add('--pairs', action='store_true', help='draw a sheet of places that two rasters show, too')
    add('--max-days', type=float, metavar='N', help='between the dates of such rasters; any')
    add('--out', metavar='FILE', help='write the catalogue (.parquet), to be given as DIR later')


def _add_evaluate(command: argparse.ArgumentParser) -> None:
    count: dict[str, Any] = {'type': int, 'metavar': 'N'}
    add = command.add_argument
    add(
        'models',
        nargs='+',
        metavar='CKPT',
        help='encoders: checkpoints, released files, timm names, torchgeo:MODEL, random:MODEL, '
        'image-stats; then DATA: a folder of labelled images, a class of TorchGeo, FMoW, or a '
        'task of GEO-Bench; or a folder of images with masks, to segment',
    )
    add(
        '--protocol',
        metavar='A,B,…',
        help='knn,linear,robustness,retrieval,reconstruct, and finetune, which trains the encoders '
        'and is left out unasked; all others. Of images with masks: segment, which trains too',
    )
    add('--out', metavar='DIR', help='folder of the report; runs/evaluate-N')
    add('--root', metavar='DIR', help="folder of a data set given by its class; 'data'")
    add('--splits', metavar='FILE', help='CSV of a folder: path, split, and maybe label')
    add('--bands', metavar='A,B,…', help='by number (from 1), name or common name; all')
    add('--gsd', type=float, metavar='METRES', help='per pixel, of images that do not say')
    add('--sensor', metavar='NAME', help='which of a checkpoint the images are of; by values')
    add('--scales', default='12.5,25,50,100', metavar='A,B,…', help='in %%; default: %(default)s')
    add('--labels', default='1,10,100', metavar='A,B,…', help='for linear, in %%; %(default)s')
    add('--size', type=int, metavar='PX', help="side of full scale; the images' own, up to 256")
    add('--batch-size', **count, help='64; of training fewer where images are few')
    add('--num-workers', **count, default=0, help='processes that read; default: %(default)s')
    add('--device', metavar='NAME', help='cuda where there is one, else cpu')
    add('--seed', type=int, default=0, help='of probes, intervals, masks, training; %(default)s')
    add('--seeds', **count, default=3, help='linear probes for each share; %(default)s')
    add('--bootstrap', **count, default=1000, help='samples for intervals; %(default)s')
    _add_tuning(command.add_argument_group('of segment and finetune, which train'))
    command.usage = 'xscale evaluate CKPT [CKPT …] DATA [flags]'


def _add_tuning(group: Any) -> None:
    count: dict[str, Any] = {'type': int, 'metavar': 'N'}
    add = group.add_argument
    add('--epochs', **count, default=10, help='passes over the images; default: %(default)s')
    add('--lr', type=float, help="learning rate; the recipes'")
    add('--decoder', choices=('dpt', 'linear'), default='dpt', help='default: %(default)s')
    add('--decoder-channels', **count, default=64, help='width of dpt; %(default)s')
    add('--tile', type=int, metavar='PX', help='side of training tiles; 224, or as the images')
    add('--polygons', metavar='FILE', help='GeoJSON or GeoPackage in the place of masks')
    add('--attribute', metavar='COLUMN', help='of the polygons, that names their class')
    add(
        '--classes',
        metavar='A,B,…',
        help='names of values 0, 1, … of masks, or 0:A,255:B; as found',
    )
    add('--ignore', type=int, metavar='VALUE', help='of what is not labelled; 255')


def _add_predict(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add('checkpoint', metavar='CKPT', help='of xscale.tasks.Segmentation')
    add('paths', nargs='+', metavar='DIR', help=f'folders of rasters, {OTHER_PATHS}')
    add('--out', required=True, metavar='DIR', help='folder of the maps, one for each raster')
    add(
        '--probabilities',
        nargs='?',
        const='uint8',
        choices=('uint8', 'float32'),
        help='a band for each class, in place of the most likely one; default: uint8',
    )
    add('--gsd', type=float, metavar='METRES', help="per pixel of the maps; each raster's own")
    add('--bands', metavar='A,B,…', help="of the rasters, in place of the model's, in its order")
    add('--rules', metavar='FILE', help='YAML that says which band is red, …; or a TorchGeo class')
    add('--size', type=int, metavar='PX', help="side of a window; the model's")
    add(
        '--overlap',
        type=float,
        default=0.25,
        metavar='SHARE',
        help='of a window that its neighbours see too; default: %(default)s',
    )
    add('--batch-size', type=int, default=16, metavar='N', help='default: %(default)s')
    add('--device', metavar='NAME', help='cuda where there is one, else cpu')
    add('--precision', default='32-true', help='32-true; bf16-mixed is faster; auto: where it is')
    add('--overwrite', action='store_true', help='make maps anew that are there already')
    command.epilog = (
        'With YAML it is Lightning that predicts: xscale predict -c tasks/….yaml -c datasets/….yaml'
    )


def _given(args: list[str]) -> dict[str, Any]:
    """Return what is written behind ``pretrain``, without the defaults."""
    command = argparse.ArgumentParser()
    _add_pretrain(command)
    # A default is only filled in where there is nothing yet.
    nothing = argparse.Namespace(**dict.fromkeys(vars(command.parse_args([]))))
    given = vars(command.parse_args(args, nothing))
    return {name: value for name, value in given.items() if value not in (None, [])}


def _add_pretrain(command: argparse.ArgumentParser) -> None:
    pair: dict[str, Any] = {'type': float, 'nargs': 2, 'metavar': ('MIN', 'MAX')}
    share: dict[str, Any] = {'type': float, 'metavar': 'SHARE'}
    count: dict[str, Any] = {'type': int, 'metavar': 'N'}
    add = command.add_argument
    add('paths', nargs='*', metavar='DIR', help=f'folders of GeoTIFFs, {OTHER_PATHS}')
    add('--resume', metavar='RUN', help='go on with a run that was broken off, by its folder')
    add('--objective', default='cross_scale_mae', help=f'one of {", ".join(objectives())}')
    add('--model', help="timm vision transformer, for local_mim_swin a Swin; the recipe's")
    add('--init', metavar='CKPT', help='start from a checkpoint, a released file or a timm name')
    add(
        '--bands',
        metavar='A,B,…',
        help='by number (from 1), description or common name; all',
    )
    add('--rules', metavar='FILE', help='YAML that says which band is red, …; or a TorchGeo class')
    layer: dict[str, Any] = {'nargs': 2, 'action': 'append', 'metavar': ('DIR', 'A,B,…')}
    add('--layer', **layer, help='a folder and its own bands, in place of DIR; may be repeated')
    add('--pairs', action='store_true', help='draw places that two rasters show at other GSDs')
    add('--max-days', type=float, metavar='N', help='between the dates of such rasters; any')
    add('--pair-share', **share, help='of the tiles drawn so; as much of the ground as has two')
    add('--size', type=int, metavar='PX', help="side of a view; the recipe's, of most 128")
    add('--gsd', **pair, help="metres per pixel of the tiles; each raster's own")
    add('--max-nodata', **share, default=0.5, help='of a tile; default: %(default)s')
    add('--balance', choices=('area', 'raster', 'gsd'), help='draw rasters by: area, …')
    add('--temperature', type=float, help='for --balance gsd: 1 is by area; large, all GSDs alike')
    add('--roi', metavar='FILE', help='vector file: tiles only where their middle lies inside')
    add('--val-share', **share, help='of the ground, kept for validation')
    add('--mean', metavar='A,B,…', help="of each band in the files' units; measured by sensor")
    add('--std', metavar='A,B,…', help='likewise')
    add('--scale', **pair, help="area of the fine view over the coarse one's; 0.25 0.75")
    add('--batch-size', **count, default=64, help='default: %(default)s')
    length = command.add_mutually_exclusive_group()
    length.add_argument('--max-steps', **count, help='stop after so many steps')
    length.add_argument('--epochs', **count, help="passes over the folder; the recipe's is 400")
    add('--lr', type=float, help='for batches up to 256; scaled by batch/256 above')
    add('--precision', default='auto', help='auto: bf16 where fast; or 32-true, bf16-mixed, …')
    add('--save-every', **count, default=500, help='steps to the next checkpoint and pictures')
    add('--knn', metavar='DATA', help='labelled images: log val_knn, 20 nearest neighbours on them')
    add('--knn-every', **count, help='steps from one val_knn to the next; those of --save-every')
    add('--num-workers', **count, help='processes that read; by the number of cores')
    add('--out', metavar='DIR', help='run folder; runs/OBJECTIVE-N')
    add('--seed', type=int, default=0, help='of weights, draws, crops and masks; %(default)s')
    command.epilog = (
        'Everything else is set in YAML: '
        'xscale fit -c tasks/pretrain/….yaml -c datasets/folder.yaml --data.paths DIR'
    )
