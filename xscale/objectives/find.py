"""Objectives by name, ours and others'."""

import importlib
from typing import TypeGuard

from ..errors import UnknownNameError
from .base import Objective


def find_objective(name: str) -> type[Objective]:
    """Find an objective by its name or dotted path.

    Args:
        name: One of ours, such as 'MAE', or 'package.module.Class'.

    Raises:
        UnknownNameError: If there is none.
    """
    module, _, own = name.rpartition('.')
    try:
        found = getattr(importlib.import_module(module or __package__), own, None)
    except ModuleNotFoundError as error:
        if not module.startswith(error.name or '\0'):
            raise
        found = None
    if not _is_objective(found):
        ours = vars(importlib.import_module(__package__))
        names = [key for key, value in ours.items() if _is_objective(value)]
        raise UnknownNameError('objective', name, [*names, 'or the dotted path of an Objective'])
    return found


def _is_objective(value: object) -> TypeGuard[type[Objective]]:
    return isinstance(value, type) and issubclass(value, Objective) and value is not Objective
