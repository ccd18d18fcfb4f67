"""What is kept of remote rasters: from scan to scan, and not from process to process."""

import os

from xscale.datasets import Rasters, catalogue, fetch
from xscale.datasets.catalogue import read_catalogue, remote_file

from ...data.stack.data import write_raster
from ..server import Server
from .reading import asked, noise, read


def test_what_is_known_is_asked_for_its_date_alone(server: Server, cog: str) -> None:
    write_raster(server.folder / 'old.tif', noise(1, 300))
    old = f'{server.address}/old.tif'
    first = catalogue.catalogue([cog, old])
    server.asked()
    # NaN, which says that there is no nodata, does not equal itself.
    same = (table.drop_columns('nodata') for table in (catalogue.catalogue([cog, old]), first))
    assert next(same).equals(next(same))
    assert asked(server) == [('HEAD', '')] * 2
    # A new one is described, the others stay known.
    write_raster(server.folder / 'old.tif', noise(2, 300))
    os.utime(server.folder / 'old.tif', ns=(10**18, 10**18))
    table = catalogue.catalogue(old)
    assert len(table['names'][0]) == 2
    assert table['mtime'].to_pylist() == [10**18]
    server.asked()
    assert catalogue.catalogue(cog)['filepath'].to_pylist() == [cog]
    assert asked(server) == [('HEAD', '')]
    assert read_catalogue(remote_file())['filepath'].to_pylist() == [cog, old]


def test_a_server_without_dates_has_tags(server: Server) -> None:
    file = write_raster(server.folder / 'undated/x.tif', noise(1, 300))
    address = f'{server.address}/undated/x.tif'
    first = fetch.stamp(address)
    assert first[0] == file.stat().st_size
    assert first == fetch.stamp(address)
    os.utime(file, ns=(1, 1))
    assert first[1] != fetch.stamp(address)[1] > 0


def test_neither_secrets_nor_failures_are_kept(server: Server, cog: str) -> None:
    login = cog.replace('http://', 'http://me:pass@')
    catalogue.catalogue([cog, login, f'{cog}?sig=secret', f'{server.address}/none.tif'])
    assert read_catalogue(remote_file())['filepath'].to_pylist() == [cog]


def test_a_worker_does_not_share_connections(server: Server, cog: str) -> None:
    """What two processes read of one socket would be each other's answers."""
    rasters = Rasters(cog)
    read(rasters, 0, 0, 256, 256)
    mine = {request.port for request in server.asked()}
    if not (child := os.fork()):
        os._exit(int(read(rasters, 256, 256, 256, 256)['unreadable']))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    its = {request.port for request in server.asked()}
    read(rasters, 512, 512, 256, 256)
    again = {request.port for request in server.asked()}
    assert its
    assert its.isdisjoint(mine | again)
