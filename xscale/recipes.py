"""The YAML recipes that ship with the package: what to do (tasks) and on what (datasets)."""

from pathlib import Path
from typing import Any

from .errors import UnknownNameError

#: In a wheel the recipes lie inside the package, in a source checkout beside it.
_INSIDE = Path(__file__).with_suffix('')
ROOT = _INSIDE if (_INSIDE / 'tasks').is_dir() else Path(__file__).parent.parent


def find_recipe(path: str) -> str:
    """Return a configuration file as given, or the recipe of that name that ships with us.

    Args:
        path: Such as ``tasks/pretrain/mae.yaml``.
    """
    shipped = ROOT / path
    return str(shipped) if not Path(path).exists() and shipped.is_file() else path


def pretraining_recipe(objective: str) -> Path:
    """Return the recipe of an objective.

    Args:
        objective: Its file name without ``.yaml``, such as 'cross_scale_mae', or the name of the
            objective itself, such as 'CrossScaleMAE'.

    Raises:
        UnknownNameError: If there is none.
    """
    folder = ROOT / 'tasks' / 'pretrain'
    path = folder / f'{objective}.yaml'
    if path.is_file():
        return path
    for name in objectives():
        if name.replace('_', '') == objective.lower():
            return folder / f'{name}.yaml'
    raise UnknownNameError('objective', objective, objectives())


def task_settings(name: str) -> dict[str, Any]:
    """Return the settings of the task that a recipe names.

    Args:
        name: Its file in ``tasks`` without ``.yaml``, such as 'segment/frozen'.
    """
    import yaml

    content = yaml.safe_load((ROOT / 'tasks' / f'{name}.yaml').read_text(encoding='utf-8'))
    settings: dict[str, Any] = content['model']['init_args']
    return settings


def objectives() -> list[str]:
    """List the objectives that have a recipe."""
    return sorted(path.stem for path in (ROOT / 'tasks' / 'pretrain').glob('*.yaml'))
