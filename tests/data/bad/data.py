"""Write about 200 rasters that are broken, hostile, or not what they are called.

Each is given with a fragment of the reason it must be left out with; an empty one where any
reason will do, None where it may as well be used, as a flipped bit may spare what matters.
"""

import gzip
import io
import os
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import from_origin

from ..stack.data import write_raster
from .header import families
from .tiff import SIDE, build

#: A raster and a fragment of the reason it is left out with.
type Case = tuple[str, bytes, str | None]

PIXELS = np.random.default_rng(0).integers(1, 255, (3, 96, 96), dtype=np.uint8)


def write(folder: Path) -> dict[str, str | None]:
    """Write them all.

    Args:
        folder: Where to.

    Returns:
        A fragment of the reason, by path below the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    expected: dict[str, str | None] = {}
    whole = _whole(folder.parent / 'whole')
    broken = (*_cut(whole), *_flipped(whole), *_swollen(whole['jpeg2000.jp2']))
    for name, data, reason in (*broken, *families(), *_impostors(whole)):
        (folder / name).write_bytes(data)
        expected[name] = reason
    with warnings.catch_warnings(action='ignore'):
        expected |= _rasters(folder)
    expected |= _links(folder)
    return expected


def _whole(folder: Path) -> dict[str, bytes]:
    """Write sound rasters of several layouts to be broken."""
    grey = PIXELS[:1]
    layouts = {
        'strips.tif': (PIXELS, {}),
        'tiles.tif': (PIXELS, {'tiled': True, 'blockxsize': 32, 'blockysize': 32}),
        'plain.tif': (grey, {'compress': 'none', 'blockysize': 8}),
        'big.tif': (grey, {'BIGTIFF': 'YES', 'tiled': True, 'blockxsize': 32, 'blockysize': 32}),
        'motorola.tif': (grey, {'ENDIANNESS': 'BIG', 'compress': 'lzw'}),
        'cog.tif': (np.repeat(np.repeat(PIXELS, 4, 1), 4, 2), {'driver': 'COG', 'blocksize': 128}),
        'jpeg2000.jp2': (PIXELS, {'driver': 'JP2OpenJPEG', 'compress': None}),
    }
    return {
        name: write_raster(folder / name, pixels, **profile).read_bytes()
        for name, (pixels, profile) in layouts.items()
    }


def _cut(whole: dict[str, bytes]) -> Iterator[Case]:
    """Cut files short: within the header, within the pixels, by one byte."""
    for name, data in whole.items():
        for left in (0, 3, 10, 60, len(data) // 3, len(data) // 2, len(data) - 5):
            yield f'cut_{left}_{name}', data[:left], ''


def _flipped(whole: dict[str, bytes]) -> Iterator[Case]:
    """Flip bits: single ones of the header, and a few anywhere."""
    rng = np.random.default_rng(1)
    for name, data in whole.items():
        for number in range(6):
            bits = np.unpackbits(np.frombuffer(data, np.uint8))
            reach = 8 * 400 if number < 4 else len(bits)
            places = rng.integers(0, min(reach, len(bits)), 1 if number < 2 else 8)
            bits[places] ^= 1
            yield f'flipped_{number}_{name}', np.packbits(bits).tobytes(), None


def _swollen(whole: bytes) -> Iterator[Case]:
    """Write a few kilobytes that make a reader set up gigabytes."""
    start = whole.index(b'\xff\x4f\xff\x51')
    length = 38 + 3 * len(PIXELS)
    sizes: list[tuple[str, int, int, int, str]] = [
        ('tiles', 255, 1, 3, 'announces 65,025 tiles'),
        ('tiles_of_bands', 100, 1, 200, 'announces 10,000 tiles'),
        ('bands', 100, 100, 16384, 'bands; at most'),
        ('side', 2**31, 2**31, 1, 'promises'),
        ('tile', 2**14, 2**14 - 1, 1, 'unpacked whole'),
        ('tile_0', 96, 0, 1, 'damaged header'),
        ('side_0', 0, 96, 1, 'damaged header'),
    ]
    for name, side, tile, bands, reason in sizes:
        grid = (side, side, 0, 0, tile, tile, 0, 0)
        size = struct.pack('>HHHH8IH', 0xFF4F, 0xFF51, 38 + 3 * bands, 2, *grid, bands)
        # A box of length 0 reaches to the end of the file.
        box = whole[: start - 8] + bytes(4) + b'jp2c' + size + b'\7\1\1' * bands
        yield f'swollen_{name}.jp2', box + whole[start + 4 + length :], reason
    packed = zlib.compress(bytes(17_000**2), 1)
    large = {256: ('H', [17_000]), 257: ('H', [17_000]), 259: ('H', [8]), 273: ('I', [0])}
    strip = {**large, 278: ('H', [17_000]), 279: ('I', [len(packed)])}
    yield 'swollen_strip.tif', build(strip) + packed, 'unpacked whole'


def _impostors(whole: dict[str, bytes]) -> Iterator[Case]:
    """Write files of other kinds under the names of rasters."""
    pointer = b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n'
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, 'w') as file:
        file.writestr('x.tif', whole['strips.tif'])
    page = b'<!DOCTYPE html>\n<html><title>Log in</title></html>'
    virtual, end = (
        b'<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1">'
        b'<SimpleSource><SourceFilename>',
        b'</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>',
    )
    others = {
        'page.tif': (page, 'web page'),
        'page.jp2': (b'\n' + page, 'web page'),
        'pointer.tif': (pointer, 'git lfs pull'),
        'packed.tif': (gzip.compress(whole['strips.tif']), 'gunzip'),
        'archive.tif': (archive.getvalue(), 'ZIP archive'),
        'refused.tif': (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', 'is XML'),
        'picture.tif': (b'\x89PNG\r\n\x1a\n' + bytes(40), 'is a PNG'),
        'photo.tif': (b'\xff\xd8\xff\xe0' + bytes(40), 'is a JPEG'),
        'netcdf.tif': (b'\x89HDF\r\n\x1a\n' + bytes(40), 'HDF5'),
        'zeros.tif': (bytes(5000), 'nothing but zeros'),
        'text.tif': (b'I am no raster.', 'is not a raster'),
        'binary.tif': (bytes(range(256)), 'is not a raster'),
        'virtual.tif': (virtual + b'/etc/passwd' + end, 'is a virtual raster'),
        'virtual.jp2': (virtual + b'/dev/zero' + end, 'is a virtual raster'),
        'virtual.vrt': (virtual + b'/etc/passwd' + end, 'is a virtual raster'),
        'address.vrt': (virtual + b'/vsicurl/http://127.0.0.1:9/x.tif' + end, 'virtual raster'),
        'itself.vrt': (virtual + b'itself.vrt' + end, 'is a virtual raster'),
        'endless.vrt': (virtual + b'/dev/zero' + end, 'is a virtual raster'),
        'jpeg2000.tif': (whole['jpeg2000.jp2'], 'call it .jp2'),
        'tiff.jp2': (whole['strips.tif'], 'call it .tif'),
        'empty.tif': (b'', 'is empty'),
        'empty.jp2': (b'', 'is empty'),
    }
    return ((name, data, reason) for name, (data, reason) in others.items())


def _rasters(folder: Path) -> dict[str, str | None]:
    """Write rasters that GDAL takes for sound and that cannot be learnt from."""
    ones = np.ones((1, SIDE, SIDE), np.float32)
    point = GroundControlPoint(0, 0, 500_000, 5_300_000)
    points = [point, GroundControlPoint(9, 0, 500_000, 5_299_900)]
    write_raster(folder / 'gcps.tif', ones, gcps=points, grid=Affine.identity())
    polynomial = [1.0] * 20
    rpc = RPC(0, 1, 0, 1, *[polynomial] * 2, 0, 1, 0, 1, *[polynomial] * 2, 0, 1)
    write_raster(folder / 'rpcs.tif', ones, None, Affine.identity(), rpcs=rpc)
    write_raster(folder / 'nan.tif', ones * np.nan)
    write_raster(folder / 'infinite.tif', ones * np.inf)
    write_raster(folder / 'nodata.tif', ones, nodata=1)
    write_raster(folder / 'nodata_nan.tif', ones * np.nan, nodata=np.nan)
    write_raster(folder / 'masked.tif', ones, mask=np.zeros((SIDE, SIDE), np.uint8))
    write_raster(folder / 'complex.tif', ones.astype(np.complex64))
    write_raster(folder / 'complex128.tif', ones.astype(np.complex128))
    with rasterio.open(
        folder / 'sparse.tif',
        'w',
        driver='GTiff',
        width=10**6,
        height=10**6,
        count=1,
        dtype='uint8',
        crs='EPSG:32633',
        transform=from_origin(500_000, 5_300_000, 1, 1),
        tiled=True,
        blockxsize=2**14,
        blockysize=2**14,
        SPARSE_OK=True,
    ):
        pass
    write_raster(folder / 'site.tif', ones, 'LOCAL_CS["site",UNIT["metre",1]]')
    return {
        'gcps.tif': 'ground control points',
        'rpcs.tif': 'RPCs',
        'nan.tif': 'no valid pixel',
        'infinite.tif': 'no valid pixel',
        'nodata.tif': 'no valid pixel',
        'nodata_nan.tif': 'no valid pixel',
        'masked.tif': 'no valid pixel',
        'complex.tif': 'complex',
        'complex128.tif': 'complex',
        'site.tif': 'nowhere on Earth',
        'sparse.tif': 'promises 1,000 GB',
    }


def _links(folder: Path) -> dict[str, str | None]:
    """Make what is no file at all."""
    os.mkfifo(folder / 'pipe.tif')
    (folder / 'nowhere.tif').symlink_to('gone.tif')
    (folder / 'circle.tif').symlink_to('circle.tif')
    (folder / 'null.tif').symlink_to('/dev/zero')
    (folder / 'sub').mkdir(exist_ok=True)
    (folder / 'sub/circle').symlink_to(folder)
    (folder / 'break\n.tif').write_bytes(build())
    (folder / 'folder.tif').mkdir()
    locked = folder / 'locked.tif'
    locked.write_bytes(build())
    locked.chmod(0)
    with open(os.fsencode(folder) + b'/latin\xe9.tif', 'wb') as file:
        file.write(build())
    return {
        'pipe.tif': 'no plain file',
        # The superuser may read it all the same.
        'locked.tif': None if os.geteuid() == 0 else 'Permission denied',
        'nowhere.tif': 'leads nowhere',
        'circle.tif': 'leads nowhere',
        'null.tif': 'no plain file',
        'break\\x0a.tif': 'no text',
        'latin\\udce9.tif': 'no text',
    }


if __name__ == '__main__':
    write(Path(sys.argv[1] if len(sys.argv) > 1 else '.'))
