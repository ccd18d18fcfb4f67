"""Look at each image once, so that a long evaluation does not end at one that is broken."""

import os
from concurrent.futures import ThreadPoolExecutor

from tqdm.auto import tqdm

from ..find import Rejected
from ..formats import explain
from ..ground import Place
from .images import without_place
from .sets import Labelled
from .split import Split


def check_readable(labelled: Labelled, workers: int | None = None) -> Labelled:
    """Look at the header and the end of each image, and leave out those that cannot be read.

    What is broken in between shows only when it is read, as an
    :class:`~xscale.errors.UnusableError` that names the file.

    Args:
        labelled: The data set; its splits and ``rejected`` are changed.
        workers: Threads that look; by default two for each core, at most 8.

    Returns:
        The same data set.

    Raises:
        ConfigError: If what is left cannot be evaluated, such as an empty split.
    """
    total = sum(map(len, labelled.splits.values()))
    with without_place(), tqdm(total=total, desc='looking', unit='image', delay=1.0) as progress:
        pool = ThreadPoolExecutor(workers or min(8, 2 * (os.cpu_count() or 1)))
        try:
            for name, split in labelled.splits.items():
                found = _look(split, pool, progress)
                good = [number for number, one in enumerate(found) if isinstance(one, Place)]
                split.looked = [Place() if isinstance(one, str) else one for one in found]
                for path, reason in zip(split.names, found, strict=True):
                    if isinstance(reason, str):
                        labelled.rejected.append(Rejected(path, reason))
                if len(good) < len(found):
                    labelled.splits[name] = split.keep(good)
        finally:
            # Whoever stops it does not wait for all that was still to be looked at.
            pool.shutdown(cancel_futures=True)
    labelled.check()
    return labelled


def _look(split: Split, pool: ThreadPoolExecutor, progress: tqdm) -> list[Place | str]:
    """Return where each image lies; or why it cannot be read, as far as was looked."""

    def look(row: int) -> Place | str:
        try:
            return split.source.look(row)
        except Exception as error:  # whatever is wrong with one, the others are looked at
            return explain(error) or 'cannot be read'

    found = []
    for one in pool.map(look, split.rows):
        found.append(one)
        progress.update()
    return found
