"""What reading a remote raster costs: which bytes are asked for, and how often."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from xscale.datasets import Rasters, fetch
from xscale.datasets.describe import describe
from xscale.datasets.index import scan

from ...data.stack.data import RGBA, write_raster
from ..server import Server
from .reading import CHUNK, asked, noise, read

HEADER = f'bytes=0-{CHUNK - 1}'


def block(file: Path, col: int, row: int) -> tuple[int, int]:
    """Return where a block of the first image lies: its first byte and the one behind it."""
    with rasterio.open(file) as source:
        start, size = (
            int(source.get_tag_item(f'BLOCK_{what}_{col}_{row}', 'TIFF', bidx=1))
            for what in ('OFFSET', 'SIZE')
        )
    return start, start + size


def test_a_tile_costs_its_blocks_and_one_header(server: Server, cog: str) -> None:
    rasters = Rasters(cog)
    fetch.forget(cog)
    server.asked()
    with rasterio.open(server.folder / 'cog.tif') as source:
        pixels = source.read().astype(np.float32)
    # One block, in whole chunks of 16 KB; the header comes once.
    image = read(rasters, 40, 30, 200, 200)['image']
    assert (image == pixels[:, 30:230, 40:240]).all()
    *header, one = asked(server)
    assert header == [('HEAD', ''), ('GET', HEADER)]
    start, stop = map(int, re.findall(r'\d+', one[1]))
    first, end = block(server.folder / 'cog.tif', 0, 0)
    assert (start, stop + 1) == (first // CHUNK * CHUNK, -(-end // CHUNK) * CHUNK)
    # Four blocks: those of a row lie side by side, so two requests of no byte too many.
    image = read(rasters, 600, 600, 200, 200)['image']
    assert (image == pixels[:, 600:800, 600:800]).all()
    rows = [
        (block(server.folder / 'cog.tif', 2, row)[0], block(server.folder / 'cog.tif', 3, row)[1])
        for row in (2, 3)
    ]
    wanted = sorted(tuple(map(int, re.findall(r'\d+', one))) for _, one in asked(server))
    # A COG writes four bytes before each block and behind it.
    for (start, stop), (first, end) in zip(wanted, sorted(rows), strict=True):
        assert first - 4 == start
        assert end <= stop < end + 8
    # They are kept.
    read(rasters, 610, 610, 180, 180)
    assert asked(server) == []


def test_a_coarse_tile_is_read_from_an_overview(server: Server, cog: str) -> None:
    rasters = Rasters(cog)
    fetch.forget(cog)
    server.asked()
    image = read(rasters, 0, 0, 1024, 256)['image']
    assert sum(request.size for request in server.asked()) < 0.1 * os.path.getsize(
        server.folder / 'cog.tif'
    )
    with rasterio.open(server.folder / 'cog.tif', overview_level=1) as source:
        assert (image == source.read()).all()


def test_a_scan_reads_a_header_an_overview_and_the_last_block(server: Server, cog: str) -> None:
    found = scan(cog)
    requests = server.asked()
    assert [(r.method, r.range) for r in requests[:2]] == [('HEAD', ''), ('GET', HEADER)]
    start, stop = block(server.folder / 'cog.tif', 3, 3)
    last = [r for r in requests if r.range and int(r.range[6:].split('-')[0]) <= start]
    assert any(int(r.range.rpartition('-')[2]) + 1 >= stop for r in last)
    assert len(requests) <= 4
    assert sum(r.size for r in requests) < 0.15 * os.path.getsize(server.folder / 'cog.tif')
    record = describe(str(server.folder / 'cog.tif'))
    assert found.files.gsd.tolist() == [record['gsd']]
    assert found.sensors[0].mean == pytest.approx(record['mean'])
    assert found.files.filepath(0) == cog


def holed(side: int) -> NDArray[np.uint8]:
    """A slope from 1 to 200 down the rows, whose left upper quarter holds no data (0)."""
    pixels = np.repeat(np.linspace(1, 200, side)[:, None], side, 1).astype(np.uint8)
    pixels[: side // 2, : side // 2] = 0
    return pixels


@pytest.mark.parametrize(
    ('layout', 'share'),
    [({'tiled': True, 'blockxsize': 256, 'blockysize': 256}, 0.15), ({}, 0.1)],
    ids=['blocks', 'strips'],
)
def test_of_a_raster_without_overviews_some_blocks_are_read(
    server: Server, layout: dict[str, object], share: float
) -> None:
    side = 6144
    file = write_raster(server.folder / 'plain.tif', holed(side), nodata=0, compress=None, **layout)
    server.asked()
    found = scan(f'{server.address}/plain.tif')
    assert sum(request.size for request in server.asked()) < share * side * side
    whole = scan(file)
    # Each of 8 × 8, or 64, parts shows its middle.
    assert found.files.valid[0] == pytest.approx(whole.files.valid[0], abs=0.01)
    assert found.sensors[0].mean == pytest.approx(whole.sensors[0].mean, rel=0.03)
    assert found.sensors[0].std == pytest.approx(whole.sensors[0].std, rel=0.05)
    levels, exact = (index.files.validity(0).levels for index in (found, whole))
    assert (levels == exact).mean() > 0.97


def test_a_mask_is_looked_at_in_pieces_too(server: Server) -> None:
    pixels = holed(6144)
    tiles = {'tiled': True, 'blockxsize': 512, 'blockysize': 512}
    mask = (pixels > 0).astype(np.uint8) * 255
    file = write_raster(server.folder / 'masked.tif', pixels + 1, mask=mask, **tiles)
    remote = scan(f'{server.address}/masked.tif').files
    assert remote.valid[0] == pytest.approx(scan(file).files.valid[0], abs=0.01)


def test_a_raster_in_degrees_is_looked_at_once(server: Server) -> None:
    """Where it holds data on the grid of tiles is computed, not read."""
    place = {'crs': 'EPSG:4326', 'grid': from_origin(14, 60, 1e-3, 5e-4), 'nodata': 0}
    file = write_raster(server.folder / 'degrees.tif', holed(1024), **place)
    found, whole = (scan(path).files for path in (f'{server.address}/degrees.tif', file))
    assert found.shape.tolist() == whole.shape.tolist()
    assert found.valid[0] == pytest.approx(whole.valid[0], abs=0.005)
    difference = found.validity(0).levels.astype(int) - whole.validity(0).levels
    assert (np.abs(difference) > 2).mean() < 0.02
    rasters = Rasters(f'{server.address}/degrees.tif')
    sample = read(rasters, 300, 600, 200, 200)
    assert sample['valid'].all()
    assert not sample['unreadable']


def test_a_band_marked_alpha_is_warped_as_data(server: Server) -> None:
    """NAIP's near infrared: the view that hides the mark opens the same address."""
    place = {'crs': 'EPSG:4326', 'grid': from_origin(14, 60, 1e-3, 5e-4)}
    pixels = noise(4, 300).astype(np.uint8)
    file = write_raster(server.folder / 'naip.tif', pixels, colours=RGBA, **place)
    server.asked()
    remote, local = (
        read(Rasters(path), 100, 100, 100, 100) for path in (f'{server.address}/naip.tif', file)
    )
    assert remote['image'].shape == (4, 100, 100)
    assert (remote['image'] == local['image']).all()
    assert {request.path for request in server.asked()} == {'/naip.tif'}


def test_jpeg_2000_is_not_fetched(server: Server, cog: str) -> None:
    pixels = noise(1, 64).astype(np.uint8)
    write_raster(server.folder / 'x.jp2', pixels, driver='JP2OpenJPEG', compress=None)
    (rejected,) = scan([cog, f'{server.address}/x.jp2']).rejected
    assert rejected.reason.startswith('is JPEG 2000, of which nearly all is fetched')
    assert [r.method for r in server.asked() if r.path == '/x.jp2'] == ['HEAD']
