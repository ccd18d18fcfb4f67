"""Where a run stands, in Lightning's counters.

Lightning 2.6 goes on rightly from what it counts when a batch ends in the middle of an epoch, and
miscounts epochs or steps from other states: after the last batch of an epoch, at its end, at the
end of a run that its number of steps ended in the middle of one.
"""

from typing import Any

from lightning.pytorch import Trainer


def position(trainer: Trainer) -> tuple[int, int]:
    """Return the epoch that is going on and how many of its batches are done.

    An epoch that is done counts as the next one with no batch done.

    Args:
        trainer: The trainer, between two batches or behind the last one.
    """
    loop = trainer.fit_loop
    epoch = loop.epoch_progress.current.ready - 1
    batch = loop.epoch_loop.batch_progress.current.processed
    return (epoch + 1, 0) if batch >= trainer.num_training_batches else (max(epoch, 0), batch)


def settle(state: dict[str, Any], epoch: int, batch: int, accumulate: int = 1) -> None:
    """Write the state of the loop over epochs as one Lightning goes on rightly from.

    Args:
        state: What the loop saves; changed in place.
        epoch: Epoch to go on with.
        batch: Its batches that are done.
        accumulate: Batches of an optimizer step.
    """
    # Between two epochs nothing is under way; in the middle of one a batch is about to be done.
    middle = batch > 0
    for part in ('total', 'current'):
        state['epoch_progress'][part] = _counts(epoch + middle, processed=epoch, completed=epoch)
    progress = state['epoch_loop.batch_progress']
    for part, done in (('total', progress['total']['processed']), ('current', batch)):
        progress[part] = _counts(done, processed=done, completed=done - middle)
    progress['is_last_batch'] = False
    if middle and batch % accumulate == 0:
        # Counted when the batch is done.
        state['epoch_loop.state_dict']['_batches_that_stepped'] -= 1


def _counts(begun: int, processed: int, completed: int) -> dict[str, int]:
    return {'ready': begun, 'started': begun, 'processed': processed, 'completed': completed}


def start_epoch(trainer: Trainer) -> None:
    """Begin an epoch where a checkpoint stands between two of them.

    A run that is limited by its steps counts as one in the middle of an epoch in any case, which
    would count a step too many.

    Args:
        trainer: The trainer, before the first batch.
    """
    loop = trainer.fit_loop.epoch_loop
    if loop.restarting and loop.batch_progress.current.processed == 0:
        loop.restarting = False
