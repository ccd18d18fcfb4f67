"""What a scan found is kept for the next."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from xscale.datasets import FMoW
from xscale.datasets.fmow import scan as scanning

from ...data.fmow.data import write_image
from .images import one


def test_nothing_is_opened_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is new, changed, or could not be used."""
    monkeypatch.setenv('XSCALE_CACHE', str(tmp_path / 'cache'))
    folder = tmp_path / 'data'
    here = folder / 'train' / 'zoo' / 'zoo_3'
    for date in range(3):
        write_image(here, 'zoo_3', date)
    (here / 'zoo_3_2_rgb.jpg').write_bytes(b'')
    looked: list[str] = []
    describe = scanning.describe

    def watched(path: str, *args: Any) -> Any:
        looked.append(Path(path).name)
        return describe(path, *args)

    monkeypatch.setattr(scanning, 'describe', watched)
    first = FMoW(folder)
    assert sorted(looked) == ['zoo_3_0_rgb.jpg', 'zoo_3_1_rgb.jpg', 'zoo_3_2_rgb.jpg']
    looked.clear()
    again = FMoW(folder)
    assert looked == ['zoo_3_2_rgb.jpg']
    for a, b in zip(first, again, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    looked.clear()
    about = here / 'zoo_3_1_rgb.json'
    about.write_text(json.dumps({**json.loads(about.read_text()), 'gsd': 7.25}))
    write_image(here, 'zoo_3', 2)
    third = FMoW(folder)
    assert sorted(looked) == ['zoo_3_1_rgb.jpg', 'zoo_3_2_rgb.jpg']
    assert [float(sample['gsd']) for sample in third] == pytest.approx([1.1, 7.25, 1.1])
    (store,) = (tmp_path / 'cache').rglob('*.parquet')
    store.write_bytes(store.read_bytes()[:100])
    looked.clear()
    assert len(FMoW(folder)) == len(looked) == 3


def test_a_cache_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'cache').write_text('a file')
    monkeypatch.setenv('XSCALE_CACHE', str(tmp_path / 'cache'))
    assert len(FMoW(one(tmp_path / 'data'))) == 1
    assert 'what the scan found is not kept in' in capsys.readouterr().err
