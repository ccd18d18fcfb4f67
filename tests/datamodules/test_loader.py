"""Workers that are killed: every batch comes all the same, once, in order."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from xscale.datamodules import CrossScaleDataModule
from xscale.datamodules.loader import TileLoader, ignore_interrupts
from xscale.errors import DeadWorkerError
from xscale.types import Sample

BATCHES = 8


def module(stack: Path, workers: int) -> CrossScaleDataModule:
    data = CrossScaleDataModule(
        str(stack), ['red'], tile_size=32, batch_size=2, num_workers=workers, length=2 * BATCHES
    )
    data.setup('fit')
    return data


def expected(stack: Path, epoch: int = 0, start: int = 0) -> list[Sample]:
    """Read in this process."""
    data = module(stack, 0)
    data.train_sampler.resume_at(epoch, start)
    return list(data.train_dataloader())


def kill(loader: TileLoader, worker: int) -> int:
    """Kill a worker, and wait until the system has."""
    process = loader._iterator._workers[worker]
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.pid


def assert_same(batches: list[Sample], others: list[Sample]) -> None:
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        torch.testing.assert_close(batch, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize('workers', [1, 2])
@pytest.mark.parametrize('when', [[0], [3], [2, 3, 5], [BATCHES - 1]])
def test_killed_workers_change_nothing(
    stack: Path, workers: int, when: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    loader = module(stack, workers).train_dataloader()
    batches, told = [], []
    for number, batch in enumerate(loader):
        batches.append(batch)
        if number in when:
            pid = kill(loader, number % workers)
            # A training step goes on meanwhile, undisturbed.
            time.sleep(0.05)
            told.append(f'xscale: data worker {pid} died (killed by SIGKILL, as the system does')
            told.append(f'; started again at batch {number + 1}')
    assert_same(batches, expected(stack))
    loader.sampler.set_epoch(1)
    assert_same(list(loader), expected(stack, epoch=1))
    text = capfd.readouterr().err
    assert text.count('\n') == len(when)
    assert all(part in text for part in told)


def test_all_workers_killed_at_once(stack: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loader = module(stack, 2).train_dataloader()
    batches = []
    for number, batch in enumerate(loader):
        batches.append(batch)
        if number == 2:
            pids = [kill(loader, worker) for worker in (0, 1)]
    assert_same(batches, expected(stack))
    text = capfd.readouterr().err
    assert all(f'data worker {pid} died (killed by SIGKILL' in text for pid in pids)
    assert text.count('started again') == 1


def test_the_middle_of_an_epoch(stack: Path) -> None:
    """Iteration begins where the sampler is told to, and so does what starts again."""
    loader = module(stack, 2).train_dataloader()
    iterator = iter(loader)
    # Lightning asks for the iterator first.
    loader.sampler.resume_at(3, 2)
    batches = [next(iterator)]
    kill(loader, 1)
    batches += iterator
    assert_same(batches, expected(stack, epoch=3, start=2))
    assert (loader.sampler.epoch, loader.sampler.start) == (3, 2)


class Deadly(Dataset[Sample]):
    """Numbers; the worker that reads a certain one dies, until that has happened so many times."""

    def __init__(self, folder: Path, times: int) -> None:
        self.folder, self.times = folder, times

    def __getitem__(self, index: int) -> Sample:
        if index == 5 and len(deaths := list(self.folder.iterdir())) < self.times:
            (self.folder / str(len(deaths))).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {'number': torch.tensor(index)}


class Numbers:
    """A sampler with a start."""

    start = 0

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start * 2, 2 * BATCHES))

    def __len__(self) -> int:
        return 2 * BATCHES


def numbers(folder: Path, times: int, **options: int) -> list[int]:
    dataset = Deadly(folder, times)
    loader = TileLoader(dataset, batch_size=2, sampler=Numbers(), num_workers=1, **options)
    return [number for batch in loader for number in batch['number'].tolist()]


def test_death_in_the_middle_of_a_read(tmp_path: Path) -> None:
    """Nobody is told; it is found by looking, every five seconds."""
    assert numbers(tmp_path, 1) == list(range(2 * BATCHES))


def test_the_limit(tmp_path: Path) -> None:
    with pytest.raises(DeadWorkerError, match=r'one epoch: 2, allowed: 1; .*--num-workers'):
        numbers(tmp_path, 9, limit=1)
    assert len(list(tmp_path.iterdir())) == 2


def test_errors_of_a_dataset_are_raised(stack: Path) -> None:
    data = module(stack, 2)

    def broken(sample: Sample) -> Sample:
        raise RuntimeError('a transform failed')

    data.train_dataset.transforms = broken
    loader = data.train_dataloader()
    with pytest.raises(RuntimeError, match='a transform failed'):
        next(iter(loader))
    # Not left to the garbage collector, which stops the queues first and then waits in vain.
    loader._iterator._shutdown_workers()


def slow_start(worker: int) -> None:
    """Start one of the workers so late that the first batch is there before."""
    time.sleep(0.3 * worker)
    ignore_interrupts(worker)


def test_workers_leave_ctrl_c_to_the_parent(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is still starting, too."""
    monkeypatch.setattr('xscale.datamodules.loader.ignore_interrupts', slow_start)
    loader = module(stack, 2).train_dataloader()
    iterator = iter(loader)
    batches = [next(iterator)]
    before = [worker.pid for worker in loader._iterator._workers]
    for pid in before:
        os.kill(pid, signal.SIGINT)
    batches += iterator
    assert_same(batches, expected(stack))
    # They stay for the next epoch.
    loader.sampler.set_epoch(1)
    assert_same(list(loader), expected(stack, epoch=1))
    assert [worker.pid for worker in loader._iterator._workers] == before


@pytest.mark.parametrize('workers', [0, 2])
def test_the_global_generator_is_not_drawn_from(stack: Path, workers: int) -> None:
    loader = module(stack, workers).train_dataloader()
    before = torch.get_rng_state()
    list(loader)
    assert torch.equal(torch.get_rng_state(), before)
