"""Errors that say what came, what is needed and what to do.

The command line prints the message of an :class:`XScaleError` without a traceback.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path


def _listed(items: Sequence[str], limit: int = 10) -> str:
    """Write one item a line, up to a number of them."""
    lines = [f'\n  {item}' for item in items[:limit]]
    if len(items) > limit:
        lines.append(f'\n  … and {len(items) - limit} more')
    return ''.join(lines)


class XScaleError(Exception):
    """Base of every error this package raises for input it cannot use."""


class Stopped(SystemExit):
    """Training was stopped by a signal: no error, and not to be caught by what catches errors."""

    def __init__(self, signum: int) -> None:
        """Choose the exit status a shell gives a process that a signal ended.

        Args:
            signum: Number of the signal.
        """
        super().__init__(128 + signum)


class UnknownNameError(XScaleError, ValueError):
    """A name that is not one of the choices."""

    def __init__(self, kind: str, name: object, choices: Iterable[str]) -> None:
        """Build the message.

        Args:
            kind: What the name should be, such as 'objective'.
            name: What came.
            choices: What is there.
        """
        super().__init__(f'unknown {kind} {name!r}; choose one of: {", ".join(sorted(choices))}')


class BandsNotFoundError(XScaleError, LookupError):
    """A raster does not hold the bands asked for."""

    #: What to do about it, told once for many files.
    REMEDY = 'rules can say what bands are: --rules FILE, a copy of datasets/rules/template.yaml'

    def __init__(
        self, missing: Sequence[str], present: Sequence[str | None], said: str = ''
    ) -> None:
        """Build the message.

        Args:
            missing: The bands that were not found.
            present: What the bands of the file are called; None where one has no name.
            said: By what they were called or read so, such as a rule or a convention.
        """
        if any(present):
            names = ', '.join(name or '(no name)' for name in present)
            has = f'its bands are {names}'
        else:
            has = f'its {len(present)} bands carry no names'
            has = has if len(present) > 1 else 'its one band carries no name'
        said = said and f' ({said})'
        super().__init__(f'no band {", ".join(missing)}: {has}{said}')


class UnusableError(XScaleError, ValueError):
    """A raster that cannot be used, and why."""


class CatalogueError(XScaleError, ValueError):
    """A catalogue of rasters that cannot be read."""


class NoRastersError(XScaleError, FileNotFoundError):
    """Nothing under the given paths can be used."""

    def __init__(
        self, paths: Sequence[str | Path], rejected: Sequence[tuple[str, str]], hint: str = ''
    ) -> None:
        """Build the message.

        Args:
            paths: Where was looked.
            rejected: Files that were found and left out, with the reason.
            hint: What to do about it.
        """
        where = ', '.join(str(path) for path in paths)
        if not rejected:
            message = f'no GeoTIFF (.tif, .tiff) or JPEG 2000 (.jp2) file under {where}'
        else:
            lines = [f'{path}: {reason}' for path, reason in rejected]
            message = f'none of the {len(rejected)} rasters under {where} can be used:'
            message += _listed(lines)
        super().__init__(message + (f'\n{hint}' if hint else ''))


class NoImagesError(XScaleError, FileNotFoundError):
    """No image of a data set can be used."""

    def __init__(self, source: str | Path, rejected: Sequence[tuple[str, str]]) -> None:
        """Build the message.

        Args:
            source: The folder or list that was looked at.
            rejected: Images that were left out, with the reason.
        """
        if rejected:
            lines = [f'{path}: {reason}' for path, reason in rejected]
            text = f'none of the {len(rejected)} images of {source} can be used:{_listed(lines)}'
        else:
            text = f'{source} holds no image (*_rgb.jpg in folders, or a row in a list)'
        super().__init__(text)


class NoPlaceError(XScaleError, RuntimeError):
    """No tile was found with enough data in the region."""

    def __init__(self, tries: int, max_nodata: float, region: bool) -> None:
        """Build the message.

        Args:
            tries: Places that were tried.
            max_nodata: Largest share of a tile without data.
            region: Whether tiles had to lie in a region.
        """
        inside = ' inside the region' if region else ''
        super().__init__(
            f'none of {tries} places has at most {max_nodata:.0%} of its pixels without data'
            f'{inside}; allow more (max_nodata), or choose a smaller size'
            + (' or a larger region' if region else '')
        )


class MissingPathError(XScaleError, FileNotFoundError):
    """A path that does not exist."""

    def __init__(self, path: str | Path) -> None:
        """Build the message.

        Args:
            path: What was asked for.
        """
        super().__init__(f'{path} does not exist (looked from {Path.cwd()})')


class BackendUnavailableError(XScaleError, RuntimeError):
    """An attention backend that cannot run here."""

    def __init__(self, backend: str, why: str, remedy: str) -> None:
        """Build the message.

        Args:
            backend: What was asked for.
            why: Why it cannot run.
            remedy: What to install or choose instead.
        """
        super().__init__(f'attention backend {backend!r} cannot run: {why}; {remedy}')


class InputSizeError(XScaleError, ValueError):
    """An image whose sides are not a multiple of the patch."""

    def __init__(self, size: tuple[int, int], patch: int) -> None:
        """Build the message.

        Args:
            size: Height and width that came, in pixels.
            patch: Side of a patch, in pixels.
        """
        near = [max(patch, round(side / patch) * patch) for side in size]
        super().__init__(
            f'an image of {size[0]}×{size[1]} px does not divide into patches of {patch} px; '
            f'{near[0]}×{near[1]} would'
        )


class CheckpointError(XScaleError, ValueError):
    """A checkpoint file that cannot be used as asked."""


class CheckpointNotWrittenError(XScaleError, OSError):
    """The last checkpoint of a run could not be written."""

    def __init__(self, why: str, kept: str, go_on: str) -> None:
        """Build the message.

        Args:
            why: Which checkpoint was not written, and why.
            kept: Which checkpoint is there; empty for none.
            go_on: What to type to go on from it.
        """
        if kept:
            super().__init__(f'{why}; the newest whole one is {kept}; make room and {go_on}')
        else:
            super().__init__(f'{why}, and there is no earlier one; make room and start again')


class ConfigError(XScaleError, ValueError):
    """Settings that contradict one another or the data."""


class NonFiniteError(XScaleError, ArithmeticError):
    """A loss, a gradient or a weight that is not a finite number."""

    def __init__(self, step: int, found: Sequence[str], files: Sequence[str], kept: str) -> None:
        """Build the message.

        Args:
            step: Number of the optimizer step, from 0, as in ``metrics.csv``.
            found: What is not finite, each with its value.
            files: What was read for the step.
            kept: Path of the last checkpoint; empty where there is none.
        """
        message = f'step {step}: {"; ".join(found)}'
        advice = 'lower the learning rate (--lr, or --model.lr of xscale fit)'
        if files:
            message += f'\nits tiles come from:{_listed(files)}'
            advice += ', or look at these files'
        message += f'\nthe last checkpoint is kept: {kept}' if kept else '\nno checkpoint yet'
        super().__init__(f'{message}\n{advice}')


class BrokenFileError(XScaleError, OSError):
    """A raster file that was found by a scan and cannot be read any more.

    Attributes:
        path: The file, or its address.
    """

    def __init__(self, path: str, shown: str, reason: str) -> None:
        """Build the message.

        Args:
            path: The file, or its address.
            shown: What people are shown of it.
            reason: What went wrong.
        """
        self.path = path
        super().__init__(f'cannot read {shown} ({reason})')


class UnreadableError(XScaleError, OSError):
    """More rasters than allowed could not be read during training."""

    def __init__(self, files: Sequence[str], limit: int) -> None:
        """Build the message.

        Args:
            files: Those that could not be read.
            limit: How many may fail.
        """
        super().__init__(
            f'rasters that could not be read: {len(files)}, allowed (max_unreadable): {limit}; '
            f'bring them back, or start again without them:{_listed(files)}'
        )


class DeadWorkerError(XScaleError, RuntimeError):
    """Processes that read ahead died again and again."""

    def __init__(self, died: Sequence[str], limit: int) -> None:
        """Build the message.

        Args:
            died: Which died each time, and how.
            limit: How often reading is started again in an epoch.
        """
        super().__init__(
            f'deaths of data workers in one epoch: {len(died)}, allowed: {limit}; use fewer '
            f'(--num-workers), or 0 to read in the training process:{_listed(died)}'
        )
