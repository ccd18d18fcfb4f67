"""No file makes the reader open another one, and sound sidecars are read."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj.exceptions import ProjError
from rasterio.enums import Resampling

from xscale.datasets import describe
from xscale.datasets.formats import explain, open_raster
from xscale.datasets.index import scan
from xscale.errors import NoRastersError, UnusableError

from ..data.bad.tiff import build
from ..data.stack.data import write_raster
from .opened import opened, served

PIXELS = np.random.default_rng(0).integers(1, 200, (1, 64, 64), dtype=np.uint8)


def virtual(source: object, side: int) -> str:
    return (
        f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}">'
        '<Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'
        f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>{source}'
        '</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>'
    )


def named(key: str, canary: Path) -> str:
    metadata = f'<Metadata domain="OVERVIEWS"><MDI key="{key}">{canary}</MDI></Metadata>'
    return f'<PAMDataset>{metadata}</PAMDataset>'


def reference(canary: Path) -> str:
    grid = f'EXTENSION["PROJ4_GRIDS","{canary}"]'
    globe = (
        f'GEOGCS["x",DATUM["x",SPHEROID["x",6377563,299.3],{grid}],PRIMEM["x",0],UNIT["x",0.017]]'
    )
    return f'PROJCS["x",{globe},PROJECTION["Mercator_1SP"],UNIT["x",1]]'


def overviews_virtual(path: Path, canary: Path) -> None:
    Path(f'{path}.ovr').write_text(virtual(canary, 32))


def overviews_of_overviews(path: Path, canary: Path) -> None:
    write_raster(Path(f'{path}.x.tif'), PIXELS[:, ::2, ::2]).rename(f'{path}.ovr')
    Path(f'{path}.ovr.ovr').write_text(virtual(canary, 16))


def overviews_in_metadata(path: Path, canary: Path) -> None:
    Path(f'{path}.aux.xml').write_text(named('OVERVIEW_FILE', canary))


def overviews_in_disguise(path: Path, canary: Path) -> None:
    Path(f'{path}.aux.xml').write_text(named('overview&#95;file', canary))


def overviews_in_tag(path: Path, canary: Path) -> None:
    with rasterio.open(path, 'r+') as out:
        out.update_tags(ns='OVERVIEWS', OVERVIEW_FILE=str(canary))


def mask_virtual(path: Path, canary: Path) -> None:
    Path(f'{path}.msk').write_text(virtual(canary, 64))


def grid_in_metadata(path: Path, canary: Path) -> None:
    wkt = reference(canary).replace('"', '&quot;')
    Path(f'{path}.aux.xml').write_text(f'<PAMDataset><SRS>{wkt}</SRS></PAMDataset>')


def grid_in_tag(path: Path, canary: Path) -> None:
    text = f'ESRI PE String = {reference(canary)}|\0'.encode()
    keys = (1, 1, 0, 4, 1024, 0, 1, 32767, 1025, 0, 1, 1, 3072, 0, 1, 32767)
    keys = (*keys, 3073, 34737, len(text) - 1, 0)
    path.write_bytes(build({34735: ('H', keys), 34737: ('s', text)}))


def read_as_gdal_does(path: Path) -> None:
    """Read what a training would of a raster, with no guard."""
    try:
        with rasterio.open(path) as source:
            assert source.crs
            source.overviews(1)
            source.read(1, out_shape=(source.height // 4, source.width // 4))
            source.read_masks(1)
    except rasterio.errors.RasterioIOError:
        pass


@pytest.mark.parametrize(
    ('hide', 'reason'),
    [
        (overviews_virtual, 'its sidecar x{}.ovr: is a virtual raster'),
        (overviews_of_overviews, 'its sidecar x{0}.ovr: its sidecar x{0}.ovr.ovr: is a virtual'),
        (overviews_in_metadata, 'names another file as its overviews'),
        (overviews_in_disguise, 'names another file as its overviews'),
        (overviews_in_tag, 'names another file as its overviews'),
        (mask_virtual, 'its sidecar x{}.msk: is a virtual raster'),
        (grid_in_metadata, 'reference system points to another file'),
        (grid_in_tag, 'reference system points to another file'),
    ],
)
@pytest.mark.parametrize('suffix', ['.tif', '.jp2'])
def test_no_other_file_is_opened(
    tmp_path: Path, suffix: str, hide: Callable[[Path, Path], None], reason: str
) -> None:
    if suffix == '.jp2' and hide in (grid_in_tag, overviews_in_tag):
        pytest.skip('JPEG 2000 has no tags')
    driver = {'driver': 'JP2OpenJPEG', 'compress': None} if suffix == '.jp2' else {}
    path = write_raster(tmp_path / f'x{suffix}', PIXELS, **driver)
    good = write_raster(tmp_path / 'good.tif', PIXELS)
    canary = write_raster(tmp_path / 'elsewhere/canary.tif', PIXELS[:, :32, :32])
    hide(path, canary)
    with opened(canary.parent) as touched:
        found = scan([path, good])
    assert 'canary.tif' not in touched
    assert [r.path for r in found.rejected] == [str(path)]
    assert reason.format(suffix) in found.rejected[0].reason
    assert list(found.frame['filepath']) == [str(good)]
    # The danger is real: GDAL by itself opens it.
    with opened(canary.parent) as touched:
        read_as_gdal_does(path)
    assert 'canary.tif' in touched


def test_no_address_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('NO_PROXY', '*')
    monkeypatch.chdir(tmp_path)
    with served(tmp_path) as (address, asked):
        path = write_raster(tmp_path / 'x.tif', PIXELS)
        Path(f'{path}.ovr').write_text(virtual(f'/vsicurl/{address}/canary.tif', 32))
        # A relative path below this folder reads as an address.
        host = address.removeprefix('http://')
        odd = write_raster(tmp_path / 'http:' / host / 'y.tif', PIXELS)
        with open_raster(f'http:/{host}/y.tif') as source:
            assert source.name == str(odd)
        assert list(scan('http:').frame['filepath']) == [str(odd)]
        with pytest.raises(NoRastersError, match='virtual raster'):
            scan('x.tif')
        assert asked() == ''
        read_as_gdal_does(path)
        assert '/canary.tif' in asked()


def test_an_erdas_sidecar_is_not_opened(tmp_path: Path) -> None:
    path = write_raster(tmp_path / 'x.tif', PIXELS)
    (tmp_path / 'x.aux').write_bytes(b'EHFA_HEADER_TAG' + bytes(300))
    with (
        opened(tmp_path) as touched,
        pytest.raises(UnusableError, match=r'x\.aux: is an ERDAS file'),
    ):
        open_raster(str(path))
    assert set(touched) == {'x.aux', 'x.tif'}
    (tmp_path / 'x.aux').write_text('of another program')
    assert len(scan(path).frame) == 1


def test_sidecars_that_never_end(tmp_path: Path) -> None:
    path = write_raster(tmp_path / 'x.tif', PIXELS)
    os.mkfifo(tmp_path / 'x.tfw')
    with pytest.raises(UnusableError, match=r'x\.tfw: is no plain file'):
        open_raster(str(path))
    (tmp_path / 'x.tfw').unlink()
    with open(tmp_path / 'x.tif.aux.xml', 'wb') as file:
        file.truncate(10**10)
    with pytest.raises(UnusableError, match='carries 10,000 MB of metadata'):
        open_raster(str(path))


def test_files_nobody_looked_at_are_not_opened(tmp_path: Path) -> None:
    path = write_raster(tmp_path / 'x.tif', PIXELS)
    for name in ('x.IMD', 'x.RPB', 'x_RPC.TXT', 'x.xml', 'x.TIF.ovr', 'x.tif.OvR'):
        (tmp_path / name).write_text(virtual('/etc/passwd', 32))
    with opened(tmp_path) as touched:
        scan(path)
    assert set(touched) == {'x.tif'}


def test_sound_sidecars_are_read(tmp_path: Path) -> None:
    path = write_raster(tmp_path / 'x.tif', PIXELS, crs=None)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, 'r+') as out:
        out.build_overviews([2], Resampling.average)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, 'r+') as out:
        out.write_mask(np.tri(64, dtype=np.uint8) * 255)
    wkt = rasterio.crs.CRS.from_epsg(32633).to_wkt().replace('"', '&quot;')
    Path(f'{path}.aux.xml').write_text(f'<PAMDataset><SRS>{wkt}</SRS></PAMDataset>')
    assert {p.name for p in tmp_path.iterdir()} == {
        'x.tif',
        'x.tif.ovr',
        'x.tif.msk',
        'x.tif.aux.xml',
    }
    with open_raster(str(path)) as source:
        assert source.crs.to_epsg() == 32633
        assert source.overviews(1) == [2]
        assert (source.read_masks(1) == np.tri(64) * 255).all()
    assert len(scan(path).frame) == 1


def test_a_world_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / 'x.tif'
    path.write_bytes(build({33550: None, 33922: None}))
    (tmp_path / 'x.tfw').write_text('20\n0\n0\n-20\n500010\n5299990\n')
    with open_raster(str(path)) as source:
        assert tuple(source.transform)[:6] == (20, 0, 500_000, 0, -20, 5_300_000)


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (MemoryError(), 'needs more memory than there is'),
        (OverflowError('too large'), 'cannot be read: too large'),
        (PermissionError(13, 'Permission denied'), 'cannot be read: Permission denied'),
        (ProjError('no such\nprojection'), 'nowhere on Earth: no such projection'),
        (rasterio.errors.CRSError('unknown'), 'nowhere on Earth: unknown'),
        (rasterio.errors.RasterioIOError('a\x00b\n  c' + 'x' * 1000), 'cannot be read: ab c'),
        (ZeroDivisionError(), 'cannot be read: ZeroDivisionError'),
    ],
)
def test_any_error_of_one_file_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(path: str) -> None:
        if 'bad' in path:
            raise error

    monkeypatch.setattr(describe, 'unusable', lambda source: fail(source.name))
    write_raster(tmp_path / 'good.tif', PIXELS)
    write_raster(tmp_path / 'bad.tif', PIXELS)
    found = scan(tmp_path)
    assert len(found.frame) == 1
    assert reason in found.rejected[0].reason
    assert found.rejected[0].reason.isprintable()
    assert len(found.rejected[0].reason) < 350


def test_an_interrupt_is_no_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(describe, 'unusable', interrupt)
    with pytest.raises(KeyboardInterrupt):
        scan(write_raster(tmp_path / 'x.tif', PIXELS))


def test_causes_are_explained() -> None:
    outer = rasterio.errors.RasterioIOError('Read failed. See previous exception.')
    outer.__cause__ = ValueError('Decoding error')
    assert explain(outer) == 'cannot be read: Decoding error'
