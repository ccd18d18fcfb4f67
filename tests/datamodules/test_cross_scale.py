"""Batches as a model gets them, and what the data module says of itself."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from rasterio.transform import from_origin

from xscale.datamodules import CrossScaleDataModule
from xscale.datamodules.unreadable import Unreadable
from xscale.errors import ConfigError, NoRastersError, UnreadableError
from xscale.objectives.terms import nt_xent, overlap_rate
from xscale.types import Sample

from ..data.stack.data import write_raster
from ..holes import collar, write_holed


def module(stack: Path, **arguments: object) -> CrossScaleDataModule:
    settings = {'paths': str(stack), 'tile_size': 64, 'batch_size': 6, 'length': 18}
    data = CrossScaleDataModule(**(settings | arguments))
    data.setup('fit')
    return data


def batches(data: CrossScaleDataModule) -> list[Sample]:
    return list(data.train_dataloader())


@pytest.mark.parametrize('workers', [0, 2])
def test_a_batch(stack: Path, workers: int) -> None:
    data = module(stack, bands=['red', 'green', 'blue'], gsd=(0.5, 40), num_workers=workers)
    loaded = batches(data)
    assert len(loaded) == 3
    expected = {
        'image': ((6, 3, 64, 64), torch.float32),
        'valid': ((6, 1, 64, 64), torch.bool),
        'gsd': ((6,), torch.float32),
        'footprint': ((6, 4), torch.float64),
        'sensor': ((6,), torch.int64),
        'row': ((6,), torch.int64),
        'unreadable': ((6,), torch.bool),
    }
    for batch in loaded:
        found = {key: (tuple(value.shape), value.dtype) for key, value in batch.items()}
        assert found == expected
        assert batch['image'].isfinite().all()
        assert (batch['image'][~batch['valid'].expand_as(batch['image'])] == 0).all()
        assert (batch['sensor'] < len(data.contract['sensors'])).all()


def test_workers_change_nothing(stack: Path) -> None:
    one, two = (module(stack, num_workers=workers, seed=3) for workers in (0, 2))
    for a, b in zip(batches(one), batches(two), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_values_stay_in_the_files_units(stack: Path) -> None:
    data = module(stack / 'sentinel2')
    (batch, *_) = batches(data)
    assert batch['image'].max() > 3000
    assert data.aug(batch) is batch


def test_all_bands_by_default(stack: Path) -> None:
    data = module(stack)
    assert batches(data)[0]['image'].shape == (6, 4, 64, 64)
    assert {len(sensor['bands']) for sensor in data.contract['sensors']} == {4}
    assert data.contract['bands'] == data.contract['sensors'][0]['bands']


def plain(value: object) -> bool:
    """Tell whether a value is made of what ``torch.load(weights_only=True)`` gives back."""
    if isinstance(value, dict):
        return all(type(key) is str and plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return type(value) in (str, int, float, torch.Tensor)


def test_contract(stack: Path) -> None:
    data = module(stack, bands=['nir', 'red'], gsd=(2, 60))
    contract = data.contract
    assert plain(contract)
    assert contract['bands'] == ['nir', 'red']
    low, high = contract['gsd']
    # NAIP may grow from 2 m until 64 px fill its 200 m; Landsat until 56 m.
    assert low == 2
    assert high == pytest.approx(120 * 30 / 64)
    names = [sensor['name'] for sensor in contract['sensors']]
    assert len(names) == len(set(names)) == 4
    assert 'landsat-8-9 SR_B5,SR_B4 uint16' in names
    for sensor in contract['sensors']:
        assert len(sensor['mean']) == len(sensor['std']) == 2
        assert min(sensor['std']) > 0


def test_summary_names_what_is_used_and_left_out(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = module(stack, bands=['red'], tile_size=160, gsd=(0.9, 12), max_nodata=0.75)
    text = data.summary()
    assert text in capsys.readouterr().out
    assert text.startswith('4 rasters, 3 batches an epoch:')
    assert '1 × naip R uint8, 1 m' in text
    assert '1 × sentinel-2 B04 uint16, 10 m' in text
    lines = {Path(line.split(': ')[0].strip()).name: line for line in text.splitlines()}
    assert 'is empty' in lines['empty.tif']
    assert 'no coordinate reference system' in lines['no_crs.tif']
    assert 'coarser than the 12 m asked for' in lines['LC08_20190825_30m.tif']
    assert lines['drone.tif'].endswith('less than 25% of a tile of 160×160 px of 0.9 m')
    assert 'smaller than a tile, padded' in lines['berkeley.tif']
    used = {'oslo.tif', 'berkeley.tif', 'm_3607717_sw_18_1_20160620.tif', 'T48QUE_20200223_10m.tif'}
    out = text.split('rasters left out:')[1]
    assert {path.name for path in stack.rglob('*.tif') if path.name not in out} == used


def unread(*rows: int) -> Sample:
    """Make a batch whose tiles of these rows could not be read; that of row 0 could."""
    return {
        'row': torch.tensor([0, *rows]),
        'unreadable': torch.tensor([False] + [True] * len(rows)),
    }


def test_unreadable_rasters_are_counted(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = module(stack, bands=['red'], max_unreadable=2)
    files = data.train_dataset.index['filepath'].tolist()
    capsys.readouterr()
    for batch in (unread(), unread(2, 1, 2), unread(1)):
        assert data.on_before_batch_transfer(batch, 0) is batch
    data.teardown('fit')
    text = f'rasters that could not be read: 2 of {len(files)}\n  {files[2]}\n  {files[1]}\n'
    assert capsys.readouterr().out == text
    with pytest.raises(
        UnreadableError, match=r'not be read: 3, allowed \(max_unreadable\): 2'
    ) as e:
        data.on_before_batch_transfer(unread(3), 0)
    assert str(e.value).endswith('\n'.join(f'  {files[row]}' for row in (2, 1, 3)))


class Named(list[str]):
    """Rows that only have a path."""

    def path(self, number: int) -> str:
        return self[number]


def test_how_many_may_be_unreadable(stack: Path) -> None:
    assert Unreadable(Named(['x'] * 999)).limit == 10
    assert Unreadable(Named(['x'] * 5000)).limit == 50
    assert Unreadable(Named(['x'] * 5000), 0).limit == 0
    with pytest.raises(ConfigError, match='max_unreadable -1'):
        module(stack, max_unreadable=-1)
    names = Named(f'{number}.tif' for number in range(40))
    with pytest.raises(UnreadableError, match=r'9\.tif\n  … and 3 more$'):
        Unreadable(names, 12).count(unread(*range(13)))


def test_nothing_unreadable_nothing_said(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = module(stack)
    batches(data)
    capsys.readouterr()
    data.teardown('fit')
    assert capsys.readouterr().out == ''


def test_nothing_is_known_before_setup(stack: Path) -> None:
    data = CrossScaleDataModule(str(stack))
    with pytest.raises(ConfigError, match='setup'):
        data.summary()
    with pytest.raises(ConfigError, match='setup'):
        _ = data.contract


def test_setup_scans_once(stack: Path) -> None:
    data = module(stack)
    dataset = data.train_dataset
    data.setup('fit')
    assert data.train_dataset is dataset


def test_nothing_usable(stack: Path) -> None:
    with pytest.raises(NoRastersError, match='4096×4096'):
        module(stack, tile_size=4096)


def test_pretraining_has_no_validation(stack: Path) -> None:
    data = CrossScaleDataModule(str(stack))
    data.setup('validate')
    assert data.val_dataloader() == data.test_dataloader() == []


@pytest.fixture(scope='module')
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One place of 6 km: two dates at 10 m, and one at 20 m."""
    folder = tmp_path_factory.mktemp('ground')
    draw = np.random.default_rng(0)
    rasters = ('a_20200101', 600, 10), ('b_20210101', 600, 10), ('c_20200601', 300, 20)
    for name, side, gsd in rasters:
        pixels = draw.integers(0, 255, (3, side, side), dtype=np.uint8)
        write_raster(folder / f'{name}.tif', pixels, grid=from_origin(500_000, 5_300_000, gsd, gsd))
    return folder


def boxes(loaded: list[Sample]) -> list[shapely.Polygon]:
    return shapely.box(*torch.cat([batch['footprint'] for batch in loaded]).numpy().T).tolist()


@pytest.mark.parametrize('workers', [0, 2])
def test_validation_ground(ground: Path, workers: int) -> None:
    """The same tiles each time, of ground that no training tile touches."""
    data = module(
        ground, tile_size=32, val_share=0.2, val_batches=4, length=240, num_workers=workers
    )
    first, second = (list(data.val_dataloader()) for _ in range(2))
    assert len(first) == 4
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert first[0]['image'].shape == (6, 3, 32, 32)
    data.train_sampler.set_epoch(3)
    train, held = boxes(batches(data)), boxes(first)
    assert (len(train), len(held)) == (240, 24)
    assert len(shapely.STRtree(train).query(held, predicate='intersects')[0]) == 0
    # The data loader of a later epoch gives the same ones still.
    data.val_sampler.set_epoch(7)
    torch.testing.assert_close(list(data.val_dataloader()), first, rtol=0, atol=0)


def test_no_validation_by_default(ground: Path) -> None:
    assert module(ground, tile_size=32).val_dataloader() == []


def test_validation_of_several_processes(ground: Path) -> None:
    """``val_batches`` counts the batches of one process."""
    data = module(ground, tile_size=32, val_share=0.2, val_batches=5)
    assert len(data.val_sampler) == 5 * 6
    assert data.val_sampler.fixed
    assert not data.train_sampler.fixed


def test_validation_ground_without_data_is_said_at_once(tmp_path: Path) -> None:
    """Not at the first validation, which may be hours later."""
    write_holed(tmp_path / 'x.tif', collar(600, 600, 0, 0.7))
    texts = set()
    for seed in range(10):
        try:
            module(tmp_path, tile_size=32, val_share=0.04, seed=seed)
            texts.add('')
        except ConfigError as error:
            texts.add(str(error))
    assert '' in texts
    (text,) = texts - {''}
    assert text.startswith('val_share 0.04: the ground kept for validation holds no tile: none of')
    assert text.endswith('or keep more of it, or choose another seed')


def test_region_of_interest(ground: Path, tmp_path: Path) -> None:
    region = shapely.box(501_000, 5_296_000, 503_000, 5_298_000)
    gpd.GeoDataFrame(geometry=[region], crs='EPSG:32633').to_file(tmp_path / 'roi.gpkg')
    data = module(ground, tile_size=32, roi=str(tmp_path / 'roi.gpkg'), val_share=0.25)
    inner = gpd.GeoSeries([region.buffer(1)], crs='EPSG:32633').to_crs(4326).iloc[0]
    for loaded in (batches(data), list(data.val_dataloader())):
        middles = [box.centroid for box in boxes(loaded)]
        assert len(middles) >= 18
        assert all(inner.contains(middle) for middle in middles)


def test_summary_tells_of_region_and_validation(ground: Path, tmp_path: Path) -> None:
    far = write_raster(
        tmp_path / 'far.tif',
        np.ones((3, 100, 100), np.uint8),
        grid=from_origin(600_000, 5_300_000, 10, 10),
    )
    region = shapely.box(500_000, 5_294_000, 506_000, 5_300_000)
    file = tmp_path / 'roi.gpkg'
    gpd.GeoDataFrame(geometry=[region], crs='EPSG:32633').to_file(file)
    paths = [str(ground), str(far)]
    data = module(ground, paths=paths, tile_size=32, roi=str(file), val_share=0.2)
    text = data.summary()
    assert text.startswith('3 rasters, 3 batches an epoch:')
    assert f'\n1 rasters lie wholly outside of {file} or on ground kept for validation' in text
    assert '\nvalidation: 3 rasters, 8 batches' in text
    assert 'far.tif' not in text


def test_an_area_that_no_raster_reaches(ground: Path, tmp_path: Path) -> None:
    file = tmp_path / 'roi.geojson'
    gpd.GeoDataFrame(geometry=[shapely.box(1, 1, 2, 2)], crs=4326).to_file(file)
    with pytest.raises(ConfigError, match='no raster reaches into the region: the rasters lie'):
        module(ground, roi=str(file))


def test_given_statistics(ground: Path) -> None:
    mean, std = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    data = module(ground, mean=mean, std=std)
    (sensor,) = data.contract['sensors']
    assert (sensor['mean'], sensor['std']) == (mean, std)
    measured = module(ground).contract['sensors'][0]
    assert measured['mean'] != mean
    assert measured['name'] == sensor['name']


@pytest.mark.parametrize(
    ('mean', 'std'),
    [
        ([1.0, 2.0], [1.0, 1.0]),
        ([1.0, 2.0, 3.0], None),
        (None, [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [1.0, 0.0, 1.0]),
        ([1.0, 2.0, 3.0], [1.0, -1.0, 1.0]),
        ([1.0, float('nan'), 3.0], [1.0, 1.0, 1.0]),
        ([1.0, 2.0, 3.0], [1.0, float('inf'), 1.0]),
    ],
)
def test_statistics_that_do_not_fit(
    ground: Path, mean: list[float] | None, std: list[float] | None
) -> None:
    with pytest.raises(ConfigError, match='one number for each of the 3 bands'):
        module(ground, mean=mean, std=std)


def test_dates_of_a_place_are_no_negatives(ground: Path) -> None:
    """What NT-Xent makes of a batch, against pairs left out by the shape of their ground."""
    data = module(ground, tile_size=128, batch_size=24, length=24)
    (batch,) = batches(data)
    place = np.array(boxes([batch]))
    rows = [draw.tile.row for draw in data.train_sampler.batch(0, 0)]
    shared = shapely.area(shapely.intersection(place[:, None], place[None])) > 0
    dates = {frozenset((rows[i], rows[j])) for i, j in np.argwhere(shared).tolist()}
    assert {frozenset((0, 1)), frozenset((0, 2)), frozenset((1, 2))} <= dates
    assert not shared.all(1).any()
    views = torch.randn(2, 24, 16, generator=torch.Generator().manual_seed(0))
    keys = torch.nn.functional.normalize(views, dim=-1).flatten(0, 1)
    near = torch.from_numpy(np.tile(shared, (2, 2)))
    others = (keys @ keys.T / 0.5).masked_fill(near, -torch.inf).logsumexp(1)
    positive = (keys[:24] * keys[24:]).sum(1).repeat(2) / 0.5
    found = nt_xent(*views, footprint=batch['footprint'])
    torch.testing.assert_close(found, (others - positive).mean())
    assert not torch.isclose(found, nt_xent(*views))


def test_two_dates_of_one_tile_leave_nothing_to_contrast(tmp_path: Path) -> None:
    for day in ('20200101', '20210101'):
        pixels = np.ones((1, 32, 32), np.uint8)
        write_raster(tmp_path / f'x_{day}.tif', pixels)
    data = module(tmp_path, tile_size=32, batch_size=4, length=4)
    (batch,) = batches(data)
    assert {draw.tile.row for draw in data.train_sampler.batch(0, 0)} == {0, 1}
    views = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    assert nt_xent(*views, footprint=batch['footprint']) == 0
    assert overlap_rate(batch['footprint']) == 1
    assert nt_xent(*views) > 0


def test_only_what_is_drawn_is_looked_up(ground: Path) -> None:
    """TorchGeo's index, a row a raster, is not made for training."""
    data = module(ground, tile_size=32, val_share=0.2)
    batches(data)
    list(data.val_dataloader())
    assert 'index' not in vars(data.train_dataset)
    assert 'geometry' not in vars(data.train_sampler)
