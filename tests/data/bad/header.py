"""TIFFs whose tags lie: sizes, counts, places, reference systems, metadata."""

import math
from collections.abc import Iterator

from .tiff import SIDE, UTM33, Raw, Tags, build, directory

INFINITE, NAN = math.inf, math.nan

#: Reason of a header that contradicts itself.
DAMAGED = 'damaged header'


def families() -> Iterator[tuple[str, bytes, str | None]]:
    """Yield the name of a file, its bytes, and a fragment of the reason it is left out with."""
    for family in (
        _sizes,
        _blocks,
        _directories,
        _overviews,
        _transforms,
        _references,
        _metadata,
        _values,
    ):
        for name, data, reason in family():
            yield f'{family.__name__[1:]}_{name}.tif', data, reason


def _edited(cases: dict[str, tuple[Tags, str | None]]) -> Iterator[tuple[str, bytes, str | None]]:
    for name, (edits, reason) in cases.items():
        yield name, build(edits), reason


def _sizes() -> Iterator[tuple[str, bytes, str | None]]:
    """Yield absurd numbers of pixels, bits and bands."""
    most = 2**32 - 1
    yield from _edited(
        {
            'width_0': ({256: ('H', [0])}, DAMAGED),
            'width_most': ({256: ('I', [most])}, 'promises'),
            'width_missing': ({256: None}, DAMAGED),
            'width_float': ({256: ('d', [32])}, DAMAGED),
            'width_text': ({256: ('s', b'32\0')}, DAMAGED),
            'height_0': ({257: ('H', [0])}, DAMAGED),
            'height_most': ({257: ('I', [most])}, 'promises'),
            'height_more': ({257: ('H', [1000])}, DAMAGED),
            'both_most': ({256: ('I', [most]), 257: ('I', [most])}, 'promises'),
            'both_2_31': ({256: ('I', [2**31]), 257: ('I', [2**31])}, 'promises'),
            'bits_0': ({258: ('H', [0])}, DAMAGED),
            'bits_most': ({258: ('H', [65535])}, ''),
            'bits_7': ({258: ('H', [7])}, None),
            'bits_1': ({258: ('H', [1])}, None),
            'bits_64_without_format': ({258: ('H', [64])}, ''),
            'bands_0': ({277: ('H', [0])}, DAMAGED),
            'bands_most': ({277: ('H', [65535])}, 'bands'),
            'bands_1001': ({277: ('H', [1001])}, 'bands'),
            'bands_planar': ({277: ('H', [200]), 284: ('H', [2])}, DAMAGED),
            'compression_unknown': ({259: ('H', [4242])}, ''),
            'compression_lies': ({259: ('H', [8])}, ''),
            'compression_jpeg': ({259: ('H', [7])}, ''),
            'compression_fax': ({259: ('H', [3])}, ''),
            'format_unknown': ({339: ('H', [42])}, None),
            'photometric_missing': ({262: None}, None),
            'photometric_unknown': ({262: ('H', [999])}, None),
        }
    )


def _blocks() -> Iterator[tuple[str, bytes, str | None]]:
    """Yield strips and tiles that are not there, too large, or too many."""
    tiled: Tags = {273: None, 278: None, 279: None, 324: ('I', [400]), 325: ('I', [256])}
    side = ('I', [2**31 - 16])
    large = {256: ('H', [30_000]), 257: ('H', [20_000]), 259: ('H', [8])}
    yield from _edited(
        {
            'rows_0': ({278: ('H', [0])}, DAMAGED),
            'rows_1': ({278: ('H', [1])}, DAMAGED),
            'rows_most': ({278: ('I', [2**32 - 1])}, None),
            'offsets_beyond': ({273: ('I', [10**9] * 4)}, '4 of its 4 blocks'),
            'offsets_most': ({273: ('I', [2**31] * 4)}, '4 of its 4 blocks'),
            'offsets_few': ({273: ('I', [0])}, DAMAGED),
            'offsets_none': ({273: None}, DAMAGED),
            'offsets_text': ({273: ('s', b'0123')}, DAMAGED),
            'offsets_claim_most': ({273: Raw(4, 2**32 - 1, 8)}, 'beyond its end'),
            'offsets_lie_beyond': ({273: Raw(4, 4, 2**31)}, 'beyond its end'),
            'counts_most': ({279: ('I', [2**32 - 1] * 4), 259: ('H', [8])}, '4 of its 4 blocks'),
            'counts_0': ({279: ('I', [0] * 4)}, None),
            'counts_none': ({279: None}, None),
            'counts_claim_most': ({279: Raw(4, 2**32 - 1, 8)}, 'beyond its end'),
            'tile_0': ({**tiled, 322: ('H', [0]), 323: ('H', [0])}, DAMAGED),
            'tile_most': ({**tiled, 322: side, 323: side}, 'unpacked whole'),
            'tile_17': ({**tiled, 322: ('H', [17]), 323: ('H', [17])}, DAMAGED),
            'tile_missing': ({**tiled, 322: ('H', [16])}, DAMAGED),
            'one_strip': ({**large, 277: ('H', [1]), 278: ('H', [20_000])}, 'unpacked whole'),
        }
    )


def _directories() -> Iterator[tuple[str, bytes, str | None]]:
    """Yield directories that run in circles, lie beyond the end, or claim too much."""
    yield 'circle', build(after=None), 'run in a circle'
    yield 'circle_big', build(big=True, after=None), 'run in a circle'
    yield 'next_beyond', build(after=2**31), 'cut short in its header'
    yield 'next_in_pixels', build(after=len(build()) - 200), ''
    yield 'first_beyond', b'II*\0\xff\xff\xff\xff' + build()[8:], 'cut short in its header'
    yield 'first_0', b'II*\0\0\0\0\0' + build()[8:], 'holds no image'
    yield 'first_in_header', b'II*\0\x02\0\0\0' + build()[8:], ''
    yield 'entries_0', build()[:8] + bytes(2) + build()[10:], 'directory of 0 entries'
    yield 'entries_most', build()[:8] + b'\xff\xff' + build()[10:], 'directory of 65535 entries'
    big = build(big=True)
    yield 'entries_big', big[:16] + b'\xff' * 8 + big[24:], 'directory of'
    yield 'first_big', big[:8] + b'\xff' * 8 + big[16:], 'cut short in its header'
    yield 'claims_big', build({273: Raw(16, 2**61, 16)}, big=True), 'beyond its end'
    yield 'overflow_big', build({273: Raw(16, 2**61 + 4, 16)}, big=True), 'beyond its end'
    yield 'width_big', build({256: ('Q', [2**63])}, big=True), 'promises'
    length = len(directory(_page(1), 8))
    chain = [directory(_page(1), 0, after=8 + length * number) for number in range(1, 300)]
    yield 'chain', b'II*\0\x08\0\0\0' + b''.join(chain), 'more than 256 images'
    whole = build(after=None)
    pages = [build(after=len(whole))[:8], whole]
    yield 'backwards', pages[0] + whole[8:], 'run in a circle'


def _page(side: int) -> Tags:
    """Return the tags of an overview."""
    sizes: Tags = {256: ('I', [side]), 257: ('I', [side]), 278: ('I', [side])}
    rest: Tags = {254: ('I', [1]), 258: ('H', [8]), 259: ('H', [1]), 262: ('H', [1])}
    return {
        **sizes,
        **rest,
        273: ('I', [8]),
        277: ('H', [1]),
        279: ('I', [min(side * side, SIDE * SIDE)]),
    }


def _overviews() -> Iterator[tuple[str, bytes, str | None]]:
    """Yield overviews that are no smaller copies of their raster."""
    lies: dict[str, tuple[Tags, str | None]] = {
        'larger': (_page(64), 'larger than itself'),
        'equal': (_page(SIDE), None),
        'wide': ({**_page(16), 256: ('I', [4000])}, 'larger than itself'),
        'cut': ({**_page(16), 273: ('I', [10**6])}, 'beyond its end'),
        'huge': (_page(2**31), 'promises'),
        'empty': (_page(0), DAMAGED),
        'bands': ({**_page(16), 277: ('H', [5])}, None),
        'floats': ({**_page(8), 258: ('H', [32]), 339: ('H', [3])}, None),
        'flat': ({**_page(16), 257: ('I', [1])}, None),
    }
    for name, (tags, reason) in lies.items():
        end = len(build())
        yield name, build(after=end) + directory(tags, end), reason


def _transforms() -> Iterator[tuple[str, bytes, str | None]]:
    """Yield places and pixel sizes that nothing on the ground has."""

    def scale(x: float, y: float) -> Tags:
        return {33550: ('d', [x, y, 0])}

    def matrix(*six: float) -> Tags:
        a, b, c, d, e, f = six
        return {33550: None, 33922: None, 34264: ('d', [a, b, 0, c, d, e, 0, f, *[0] * 7, 1])}

    place = {33922: ('d', [0, 0, 0, 1e30, 1e30, 0])}
    yield from _edited(
        {
            'scale_0': (scale(0, 0), ''),
            'scale_nan': (scale(NAN, NAN), ''),
            'scale_infinite': (scale(INFINITE, INFINITE), ''),
            'scale_tiny': (scale(1e-5, 1e-5), 'has pixels of'),
            'scale_subnormal': (scale(1e-310, 1e-310), ''),
            'scale_huge': (scale(1e300, 1e300), ''),
            'scale_200_km': (scale(2e5, 2e5), ''),
            'scale_needle': (scale(1, 500), 'too long'),
            'scale_few': ({33550: ('d', [10])}, ''),
            'place_infinite': ({33922: ('d', [0, 0, 0, INFINITE, INFINITE, 0])}, 'degenerate'),
            'place_nan': ({33922: ('d', [0, 0, 0, NAN, NAN, 0])}, 'degenerate'),
            'place_far': (place, 'lies outside'),
            'place_missing': ({33922: None}, None),
            'matrix_0': (matrix(0, 0, 0, 0, 0, 0), 'degenerate'),
            'matrix_nan': (matrix(NAN, 0, 5e5, 0, -10, 53e5), 'degenerate'),
            'matrix_infinite': (matrix(10, 0, INFINITE, 0, -10, 53e5), 'degenerate'),
            'matrix_no_rows': (matrix(10, 0, 5e5, 0, 0, 53e5), 'degenerate'),
            'matrix_no_columns': (matrix(0, 0, 5e5, 0, -10, 53e5), 'degenerate'),
            'matrix_parallel': (matrix(10, 20, 5e5, 10, 20, 53e5), 'degenerate'),
            'matrix_sliver': (matrix(10, 10, 5e5, 10, 10.1, 53e5), 'the same way'),
            'matrix_rotated': (matrix(7, 7, 5e5, 7, -7, 53e5), None),
            'matrix_transposed': (matrix(0, 10, 5e5, 10, 0, 53e5), None),
        }
    )


def _references() -> Iterator[tuple[str, bytes, str | None]]:
    """Yield reference systems that are missing, unknown, not on the ground, or in other files."""

    def keys(*values: int) -> Tags:
        return {34735: ('H', [1, 1, 0, len(values) // 4, *values])}

    def text(wkt: str) -> Tags:
        citation = f'ESRI PE String = {wkt}|'.encode()
        head = (1, 1, 0, 4, 1024, 0, 1, 32767, 1025, 0, 1, 1, 3072, 0, 1, 32767)
        own = (3073, 34737, len(citation), 0)
        return {34735: ('H', [*head, *own]), 34737: ('s', citation + b'\0')}

    globe = 'GEOGCS["x",DATUM["x",SPHEROID["x",6377563,299.3]{}],PRIMEM["x",0],UNIT["x",0.0174]]'
    plane = 'PROJCS["x",{},PROJECTION["Mercator_1SP"],UNIT["x",1]{}]'
    grid = ',EXTENSION["PROJ4_GRIDS","{}"]'
    proj = ',EXTENSION["PROJ4","+proj=merc +ellps=airy +nadgrids={} +wktext"]'
    model, projected, geographic = (1024, 0, 1), (3072, 0, 1), (2048, 0, 1)
    elsewhere = 'points to another file'
    yield from _edited(
        {
            'none': ({34735: None}, 'no coordinate reference system'),
            'empty': (keys(), 'no coordinate reference system'),
            'epsg_0': (keys(*model, 1, *projected, 0), ''),
            'epsg_unknown': (keys(*model, 1, *projected, 1999), ''),
            'geocentric': (keys(*model, 3, *geographic, 4978), ''),
            'geocentric_as_geographic': (keys(*model, 2, *geographic, 4978), ''),
            'vertical': (keys(*model, 1, *projected, 5773), ''),
            'projected_as_geographic': (keys(*model, 2, *geographic, 32633), None),
            'metres_as_degrees': (keys(*model, 2, *geographic, 4326), 'lies outside'),
            'keys_cut': ({34735: ('H', UTM33[:7])}, ''),
            'keys_claim_most': ({34735: ('H', [1, 1, 0, 65535, *UTM33[4:]])}, None),
            'keys_noise': ({34735: ('H', [(7919 * n) % 65536 for n in range(64)])}, ''),
            'keys_text': ({34735: ('s', b'not keys at all\0')}, ''),
            'citation_noise': (text('\x01\x02[[[' * 200), ''),
            'citation_long': (text('PROJCS["' + 'x' * 60_000 + '"]'), ''),
            'citation_nested': (text('PROJCS[' * 9_000), ''),
            'grid_file': (
                text(plane.format(globe.format(grid.format('/etc/passwd')), '')),
                elsewhere,
            ),
            'grid_url': (text(globe.format(grid.format('http://127.0.0.1:9/x.gsb'))), elsewhere),
            'grid_proj': (
                text(plane.format(globe.format(''), proj.format('@/etc/hosts'))),
                elsewhere,
            ),
            'grid_init': (text('PROJCS["+init=/etc/passwd:1"]'), elsewhere),
        }
    )


def _metadata() -> Iterator[tuple[str, bytes, str | None]]:
    """Yield metadata that is huge, nested, no XML, or points to other files."""
    item = b'<GDALMetadata><Item name="OVERVIEW_FILE" domain="OVERVIEWS">%s</Item></GDALMetadata>\0'
    deep = b'<a>' * 300_000
    many = b'<GDALMetadata>' + b'<Item name="x" sample="9999999">y</Item>' * 1000
    yield from _edited(
        {
            'huge': ({42112: ('s', b'x' * 50_000_000 + b'\0')}, 'MB of metadata'),
            'huge_unknown': ({65000: ('B', bytes(20_000_000))}, 'MB of metadata'),
            'deep': ({42112: ('s', deep + b'\0')}, None),
            'many': ({42112: ('s', many + b'</GDALMetadata>\0')}, None),
            'noise': ({42112: ('s', bytes(range(1, 256)) + b'\0')}, None),
            'overviews_file': ({42112: ('s', item % b'/etc/passwd')}, 'as its overviews'),
            'overviews_url': ({42112: ('s', item % b'/vsicurl/http://127.0.0.1:9/x')}, 'overviews'),
            'claims_most': ({42112: Raw(2, 2**32 - 1, 8)}, 'beyond its end'),
            'nodata_text': ({42113: ('s', b'abc\0')}, None),
            'nodata_long': ({42113: ('s', b'9' * 1_000_000 + b'\0')}, None),
            'nodata_huge': ({42113: ('s', b'1e999\0')}, None),
            'nodata_empty': ({42113: ('s', b'\0')}, None),
            'description_open': ({270: ('s', b'no end')}, None),
        }
    )


def _values() -> Iterator[tuple[str, bytes, str | None]]:
    """Yield values that are rare, and rasters of few pixels."""

    def typed(bits: int, form: int) -> Tags:
        side = SIDE * SIDE * 8 // bits // SIDE
        strip = ('I', [SIDE * side * bits // 8])
        shape: Tags = {257: ('H', [side]), 273: ('I', [0]), 278: ('H', [side]), 279: strip}
        return {**shape, 258: ('H', [bits]), 339: ('H', [form])}

    pixel: Tags = {256: ('H', [1]), 257: ('H', [1]), 278: ('H', [1])}
    column: Tags = {256: ('H', [1]), 278: ('H', [SIDE]), 273: ('I', [0]), 279: ('I', [SIDE])}
    yield from _edited(
        {
            'int8': (typed(8, 2), None),
            'int64': (typed(64, 2), None),
            'uint64': (typed(64, 1), None),
            'float16': (typed(16, 3), None),
            'float24': (typed(24, 3), None),
            'float128': (typed(128, 3), ''),
            'complex_int16': (typed(32, 5), 'complex'),
            'complex64': (typed(64, 6), 'complex'),
            'pixel': (pixel, None),
            'column': (column, None),
        }
    )
