"""Fixtures of the tests of runs that are stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xscale.datasets.world import write_world
from xscale.tasks import Pretraining

from .runs import write_recipe


@pytest.fixture(scope='session')
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic world seen by two sensors."""
    folder = tmp_path_factory.mktemp('world')
    write_world(folder, extent=1280)
    return folder / 'images'


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Choose what ``xscale pretrain`` takes for its recipe."""

    def choose(model: dict[str, Any] | None = None, **trainer: Any) -> None:
        path = write_recipe(tmp_path / 'recipe.yaml', model or {}, trainer)
        monkeypatch.setattr('xscale.commands.configuration.pretraining_recipe', lambda name: path)

    choose()
    return choose


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let something happen once in the middle of a step."""
    step = Pretraining.training_step
    actions: dict[int, Callable[[], Any]] = {}

    def training_step(self: Pretraining, *args: Any, **kwargs: Any) -> Any:
        loss = step(self, *args, **kwargs)
        actions.pop(self.trainer.global_step, lambda: None)()
        return loss

    monkeypatch.setattr(Pretraining, 'training_step', training_step)
    return actions.__setitem__
