"""Read pickles that GEO-Bench wrote, without running anything that they name.

A pickle is a program: it may call any function it names. Here a name leads to a plain value, to
an inert stand-in that only remembers what it was given, or to a refusal.
"""

import datetime
import io
import pickle
import re
from collections import OrderedDict
from typing import Any

import numpy as np

from ...errors import UnusableError

#: Packages whose classes are stood in for: GEO-Bench's own, under the names it had, and those of
#: what its descriptions of bands hold, which are places, dates and paths.
STOOD_IN = (
    *('geobench', 'geobench_exp', 'ccb'),
    *('affine', 'rasterio', 'pyproj', 'shapely', 'geopandas', 'pandas', 'pathlib'),
)

#: What is built as it is: it does nothing but hold values.
PLAIN: dict[tuple[str, str], Any] = {
    **{('builtins', one.__name__): one for one in (set, frozenset, complex)},
    **{('datetime', name): getattr(datetime, name) for name in ('datetime', 'date', 'time')},
    **{('datetime', name): getattr(datetime, name) for name in ('timedelta', 'timezone')},
    ('collections', 'OrderedDict'): OrderedDict,
}


class StandIn:
    """An object of a class that is not built.

    Attributes:
        args: What the class was called with.
        state: What would have been set.
    """

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> 'StandIn':
        """Remember what the class is called with."""
        self = object.__new__(cls)
        self.args, self.state = args, None
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _DType(StandIn):
    """A dtype of numbers."""

    def numpy(self) -> np.dtype:
        kind = str(self.args[0])
        if not re.fullmatch(r'[biuf][1248]', kind):
            raise pickle.UnpicklingError(f'an array of {kind}')
        return np.dtype(kind).newbyteorder('>' if self.state[1] == '>' else '<')


class _Array(StandIn):
    """An array of numbers."""

    def numpy(self) -> np.ndarray:
        _, shape, dtype, fortran, raw = self.state
        return np.frombuffer(raw, dtype.numpy()).reshape(shape, order='F' if fortran else 'C')


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _frombuffer(raw: bytes, dtype: _DType, shape: tuple[int, ...], order: str) -> _Array:
    found = _Array()
    found.state = 1, shape, dtype, order == 'F', raw
    return found


def _scalar(dtype: _DType, raw: bytes) -> Any:
    try:
        return np.frombuffer(raw, dtype.numpy())[0].item()
    except pickle.UnpicklingError:  # a date, of which nothing is wanted
        return StandIn(raw)


def _getattr(owner: Any, name: str) -> Any:
    """Stand in for a class's own constructors, such as ``CRS.from_wkt``."""
    if isinstance(owner, type) and issubclass(owner, StandIn):
        return owner
    raise pickle.UnpicklingError(f'an attribute {name} of {owner!r}')


_NUMPY = {
    'ndarray': StandIn,
    'dtype': _DType,
    '_reconstruct': _reconstruct,
    '_frombuffer': _frombuffer,
    'scalar': _scalar,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        package = module.partition('.')[0]
        if (module, name) in PLAIN:
            return PLAIN[module, name]
        if package == 'numpy' and name in _NUMPY:
            return _NUMPY[name]
        if (module, name) == ('builtins', 'getattr'):
            return _getattr
        if package in STOOD_IN:
            return type(name, (StandIn,), {})
        raise pickle.UnpicklingError(f'it names {module}.{name}, which is no part of GEO-Bench')


def load(data: bytes) -> Any:
    """Read a pickle.

    Args:
        data: Its bytes.

    Returns:
        Plain values and stand-ins; see :func:`fields` and :func:`array`.

    Raises:
        UnusableError: If it names what it should not, or is damaged.
    """
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except Exception as error:  # bytes that are damaged raise anything
        raise UnusableError(f'holds a pickle that is not read: {error}') from error


def fields(value: Any) -> dict[str, Any]:
    """Return the attributes that a stood-in object would have; none where it has none.

    Args:
        value: What :func:`load` returned, or a part of it.
    """
    state = value.state if isinstance(value, StandIn) else None
    state = state if isinstance(state, dict) else {}
    return {key: one for key, one in state.items() if isinstance(key, str)}


def kind(value: Any) -> str:
    """Return the name of the class of a stood-in object."""
    return type(value).__name__


def texts(value: Any) -> tuple[str, ...]:
    """Return a list of texts; empty where it is none.

    Args:
        value: What :func:`load` returned, or a part of it.
    """
    # What is no text is not written out either: few bytes can hold a list of no end.
    listed = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    return tuple(value) if listed else ()


def array(value: Any) -> np.ndarray:
    """Return numbers as an array.

    Args:
        value: A number, or a list of them, or an array as :func:`load` returns it.

    Raises:
        UnusableError: If it is something else.
    """
    flat = value if isinstance(value, list | tuple) else [value]
    if not isinstance(value, _Array) and not all(isinstance(one, int | float) for one in flat):
        raise UnusableError(f'holds {kind(value)} where numbers are needed')
    try:
        found = value.numpy() if isinstance(value, _Array) else np.asarray(value)
    except Exception as error:  # of shapes that do not fit, or a state that is none
        raise UnusableError(f'holds an array that is damaged: {error}') from error
    return found
