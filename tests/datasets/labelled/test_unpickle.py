"""Pickles: values come through, and nothing that they name is run."""

import datetime
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from xscale.datasets.labelled.unpickle import array, fields, kind, load
from xscale.errors import UnusableError

from ...data.geobench.data import build, geobench


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize('protocol', [3, 4, 5])
def test_values(protocol: int) -> None:
    value = {
        'a': [1, 2.5, 'x', None, True, b'y', (1, 2)],
        'day': datetime.datetime(2020, 1, 2),
        'order': OrderedDict(b=1),
        'set': {1, 2},
    }
    assert load(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize('protocol', [3, 4, 5])
@pytest.mark.parametrize('dtype', ['int64', 'uint8', '>i4', 'float32', 'bool'])
def test_numbers(protocol: int, dtype: str) -> None:
    value = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    for one in (value, np.asfortranarray(value)):
        found = array(load(pickle.dumps(one, protocol)))
        assert found.dtype == one.dtype
        assert (found == one).all()
    assert load(pickle.dumps(value[1, 1], protocol)) == value[1, 1].item()


def test_stand_ins_remember() -> None:
    with geobench() as g:
        data = pickle.dumps(build(g.Sentinel2, name='02 - Blue', alt_names=('2',)))
    found = load(data)
    assert kind(found) == 'Sentinel2'
    assert fields(found) == {'name': '02 - Blue', 'alt_names': ('2',)}
    assert load(pickle.dumps(Affine(1, 0, 3, 0, -1, 6))).args[:6] == (1, 0, 3, 0, -1, 6)
    assert 'UTM zone 33N' in load(pickle.dumps(CRS.from_epsg(32633))).state
    assert kind(load(pickle.dumps(Path('x')))).endswith('Path')
    told = load(pickle.dumps({'date': np.datetime64('2020-01-01'), 'label': np.int64(3)}))
    assert told['label'] == 3


@pytest.mark.parametrize(
    'call',
    [
        (os.system, 'touch ran'),
        (eval, "open('ran', 'w')"),
        (exec, "open('ran', 'w')"),
        (open, 'ran', 'w'),
        (os.mkdir, 'ran'),
        (np.fromfile, 'ran'),
        (np.save, 'ran', [1]),
        (getattr, 'text', '__class__'),
        (pickle.loads, b'N.'),
        (bytearray, 10**12),
    ],
)
def test_calls_are_refused(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in (0, 2, 4):
        with pytest.raises(UnusableError, match='holds a pickle that is not read'):
            load(pickle.dumps({'label': Calls(*call)}, protocol))
    assert list(tmp_path.iterdir()) == []


def named(module: str, name: str) -> bytes:
    """Write the call of a function, by the opcodes, with one text."""
    texts = (b'\x8c' + bytes([len(text)]) + text.encode() for text in (module, name))
    return b'\x80\x04' + b''.join(texts) + b'\x93\x8c\x09touch ran\x85R.'


def test_dotted_names_reach_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnusableError, match=r'it names numpy\.os\.system'):
        load(named('numpy', 'os.system'))
    assert load(named('geobench', 'os.system')).args == ('touch ran',)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'data', [b'', b'N', b'\x80\x04(.', b'garbage', b'\x80\x04]a.', b'\x80\x04\x8c']
)
def test_damage(data: bytes) -> None:
    with pytest.raises(UnusableError):
        load(data)


def test_arrays_that_do_not_fit() -> None:
    for one in (np.array(['a']), np.array([None]), np.array(['2020'], 'M8[D]')):
        with pytest.raises(UnusableError):
            array(load(pickle.dumps(one)))
    for other in ('x', None, {'a': 1}, load(pickle.dumps(Affine.identity()))):
        with pytest.raises(UnusableError):
            array(other)
