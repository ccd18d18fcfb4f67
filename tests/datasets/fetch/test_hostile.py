"""No file makes the reader fetch another, or more than a header should be."""

from pathlib import Path

import pytest

from xscale.datasets import Rasters, fetch
from xscale.datasets.formats import open_raster
from xscale.datasets.index import scan
from xscale.errors import NoRastersError, UnusableError

from ...data.bad.tiff import build
from ..server import Server
from .reading import read


def test_a_header_without_end(server: Server, cog: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, 'MOST_BYTES', 4095)
    with pytest.raises(UnusableError, match='has a header of more than'):
        open_raster(f'{server.address}/cog.tif')
    monkeypatch.undo()
    monkeypatch.setattr(fetch, 'MOST_SECONDS', 0)
    with pytest.raises(UnusableError, match='takes more than 0 s'):
        open_raster(f'{server.address}/cog.tif')


def virtual(source: str) -> bytes:
    return (
        '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1">'
        f'<SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand>'
        '</SimpleSource></VRTRasterBand></VRTDataset>'
    ).encode()


@pytest.mark.parametrize('name', ['x.vrt', 'x.tif', 'x.gti', 'x.gti.gpkg', 'x.txt.tif', 'y.tif'])
@pytest.mark.parametrize('where', ['here', 'there'])
def test_no_file_makes_the_reader_fetch(
    server: Server, cog: str, tmp_path: Path, name: str, where: str
) -> None:
    """Neither a local file that names an address, nor a remote one."""
    content = virtual(f'/vsicurl/{cog}')
    if name == 'y.tif':
        text = f'<GDALMetadata><Item name="OVERVIEW_FILE" domain="OVERVIEWS">/vsicurl/{cog}</Item>'
        content = build({42112: ('s', f'{text}</GDALMetadata>\0'.encode())})
    elif '.gti' in name:
        content = f'<GDALTileIndexDataset><IndexDataset>/vsicurl/{cog}'.encode()
    elif name == 'x.txt.tif':
        content = cog.encode()
    file = (tmp_path if where == 'here' else server.folder / 'hostile') / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    path = file if where == 'here' else f'{server.address}/hostile/{name}'
    server.asked()
    for paths in [path] if where == 'there' else [path, tmp_path]:
        with pytest.raises(NoRastersError):
            scan(paths)
    assert {r.path for r in server.asked()} <= ({f'/hostile/{name}'} if where == 'there' else set())


def test_a_list_in_a_folder_is_not_read(server: Server, cog: str, tmp_path: Path) -> None:
    (tmp_path / 'list.txt').write_text(cog)
    with pytest.raises(NoRastersError):
        scan(tmp_path)
    assert server.asked() == []
    assert len(scan(tmp_path / 'list.txt').files) == 1


def test_sidecars_are_not_looked_for(server: Server, cog: str) -> None:
    (server.folder / 'cog.tif.ovr').write_bytes(virtual('/etc/passwd'))
    (server.folder / 'cog.tif.aux.xml').write_text('<PAMDataset/>')
    read(Rasters(cog), 0, 0, 100, 100)
    assert {request.path for request in server.asked()} == {'/cog.tif'}
