"""Where a seed comes from that nobody gave."""

import os


def chosen_seed(seed: int | None) -> int:
    """Return a seed, or that of the whole run where none was chosen.

    Args:
        seed: The seed; None for that of Lightning's ``seed_everything``, and 0 without.
    """
    # Lightning keeps it there, for the processes it starts.
    return int(os.environ.get('PL_GLOBAL_SEED', 0)) if seed is None else seed


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of one step's draws, so that a run that goes on repeats them.

    Args:
        seed: That of the run.
        step: Number of the batch since the start of training.
        rank: Number of the process.
    """
    import numpy as np

    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])
