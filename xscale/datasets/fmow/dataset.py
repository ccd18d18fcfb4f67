"""Functional Map of the World as a TorchGeo data set."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from torch import Tensor
from torchgeo.datasets import NonGeoDataset, RGBBandsMissingError

from ...errors import ConfigError, UnusableError
from ...types import Sample, Sensor
from ..bands import choose
from ..conventions import BY_NAME, find_band
from ..given import given_statistics
from ..windows import Pixels
from .classes import CLASSES, FALSE_DETECTION, STATISTICS
from .crops import Crop, around, footprint_of, gsd_of, whole
from .images import Gsd, load_images
from .pixels import Part, read_part

#: What a sample of several dates says of each of them.
OF_DATE = ('image', 'valid', 'time', 'row', 'sensor', 'unreadable')


class FMoW(NonGeoDataset):
    """fMoW-rgb, fMoW-Sentinel, or a list of images of either.

    Christie et al., *Functional Map of the World*, CVPR 2018; fMoW-Sentinel is SatMAE's. What a
    path may be:

    * a folder of fMoW-rgb, ``<split>/<category>/<category>_<n>/<category>_<n>_<date>_rgb.jpg`` and
      ``….json`` beside each;
    * a folder of fMoW-Sentinel, ``<split>.csv`` and TIFFs of 13 bands in ``<split>/``;
    * a list (CSV) as the loaders of SatMAE and Cross-Scale MAE read it: category (name or number)
      and path of each image. What lies beside it as JSON is read as of fMoW-rgb.

    Images that cannot be used are left out and listed in :attr:`rejected`.

    Attributes:
        images: The images in use.
        rejected: Images left out, with the reason.
        classes: What a label counts.
        sensors: The one sensor, with its bands and statistics.
    """

    def __init__(
        self,
        paths: str | Path = 'data',
        split: str = 'train',
        bands: Sequence[str] = (),
        crop: Literal['image', 'box'] = 'image',
        size: int | None = None,
        context: float | None = None,
        gsd: Gsd = 'stated',
        images: Literal['rgb', 'msrgb'] = 'rgb',
        false_detections: bool = False,
        multilabel: bool = False,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        """Find the images and read their metadata, which is kept for the next time.

        Args:
            paths: The folder of the splits, or a list.
            split: 'train', 'val', 'test', 'seq', or another that is there.
            bands: Bands to read, by name, number or common name; all by default.
            crop: What a sample is: 'image', or 'box', a square around each labelled box.
            size: Side of a sample in pixels, resampled; the largest square in the middle of an
                image then counts. By default all of it, as it is.
            context: Share of a box's sides that is added around it; by default more around
                smaller ones, as in the challenge's baseline.
            gsd: Metres per pixel: 'stated' by the metadata; 'measured' on the ground between the
                corners of an image, whose pixels are then made square, for fMoW's are of degrees;
                or a number for all images. Where one says nothing the other counts.
            images: 'rgb', the pan-sharpened, or 'msrgb', the multispectral ones of fMoW-rgb.
            false_detections: Whether boxes in which nothing of the 62 categories is are samples
                too, of a 63rd.
            multilabel: Whether a label says of all classes whether the image has a box of them.
            mean: Mean of each band in the files' units; the published one by default.
            std: Standard deviation of each band, likewise.
            transforms: Applied to each sample.

        Raises:
            MissingPathError: If the path does not exist.
            BandsNotFoundError: If a band is not there.
            ConfigError: If a setting does not fit the data.
            NoImagesError: If no image can be used.
        """
        self.images, self.rejected = load_images(paths, split, gsd, images)
        self.size, self.context, self.transforms = size, context, transforms
        self.classes = (*CLASSES, FALSE_DETECTION) if false_detections else CLASSES
        statistics = STATISTICS[self.images.kind]
        chosen = choose(bands, list(statistics), ['undefined'] * len(statistics), 10.0)
        self.bands = chosen.indexes
        mean_of, std_of = zip(*(statistics[name] for name in chosen.names), strict=True)
        sensor = Sensor(f'fmow-{self.images.kind}', chosen.names, mean_of, std_of)
        self.sensors = given_statistics((sensor,), mean, std)
        if crop not in ('image', 'box') or (multilabel and crop == 'box'):
            raise ConfigError(
                f'crop {crop}, multilabel {multilabel}: crop is image or box, and a label of '
                'several classes is one of an image'
            )
        self.crop, self.multilabel = crop, multilabel
        self.members = self._members()
        self._said: set[int] = set()

    def _members(self) -> NDArray[np.int64]:
        """Return the images, or boxes, that are samples."""
        category = self.images.category if self.crop == 'image' else self.images.box_category
        members = np.flatnonzero((category >= 0) & (category < len(self.classes)))
        if not len(members):
            where = 'no box of a known category; try crop: image'
            if self.crop == 'image':
                where = 'only false detections; set false_detections: true'
            raise ConfigError(f'the {len(self.images)} images hold {where}')
        return members

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.members)

    def __getitem__(self, index: int | Crop) -> Sample:
        """Read a sample.

        Args:
            index: Number of a sample, or a part of an image.

        Returns:
            ``image`` (C, H, W) float32 in the file's units, 0 where there is no data; ``valid``
            (1, H, W) bool; ``label`` () int64, or (classes,) if of several; ``gsd`` () float32
            in metres per pixel as read; ``footprint`` (4,) float64, west, south, east, north in
            degrees, beyond the pole where it is unknown; ``location`` () int64, the same for all
            dates of a place; ``time`` () float64, seconds since 1970 or NaN; ``row`` () int64, the
            image; ``sensor`` () int64, 0; ``unreadable`` () bool: then it is not ``valid``
            anywhere. Of several dates, what :data:`OF_DATE` names is of each, (T, …).
        """
        crop = index if isinstance(index, Crop) else self.crop_of(int(index))
        sample = self._sample(crop)
        if crop.dates:
            dates = [self._sample(one) for one in crop.dates]
            sample |= {name: torch.stack([one[name] for one in dates]) for name in OF_DATE}
        return self.transforms(sample) if self.transforms else sample

    def _sample(self, crop: Crop) -> Sample:
        row, part = crop.row, crop.part
        pixels = self._read(row, part)
        image, valid = pixels or self._nothing(part)
        images, time = self.images, self.images.time[row]
        arrays = {
            'image': image,
            'valid': valid[None],
            'label': self._label(crop),
            'gsd': np.array(gsd_of(images, row, part), np.float32),
            'footprint': footprint_of(images, row, part),
            'location': np.array(images.location[row]),
            'time': np.array(np.nan if np.isnat(time) else time.astype(np.int64) / 1e9),
            'row': np.array(row),
            'sensor': np.array(0),
            'unreadable': np.array(pixels is None),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def crop_of(self, number: int) -> Crop:
        """Return what a sample is cut from.

        Args:
            number: Number of the sample.
        """
        member = int(self.members[number])
        if self.crop == 'image':
            part = whole(self.images, member, self.size)
            return Crop(member, part, int(self.images.category[member]))
        part = around(self.images, member, self.size, self.context)
        return Crop(int(self.images.box_of[member]), part, int(self.images.box_category[member]))

    def sequence(self, row: int) -> list[int]:
        """Return the images of a location in the order of time, those of unknown time last.

        Args:
            row: One of them.
        """
        rows = np.flatnonzero(self.images.location == self.images.location[row])
        return rows[np.argsort(self.images.time[rows], kind='stable')].tolist()

    def _label(self, crop: Crop) -> NDArray[np.int64]:
        if not self.multilabel:
            return np.array(crop.label)
        label = np.zeros(len(self.classes), np.int64)
        first, last = np.searchsorted(self.images.box_of, [crop.row, crop.row + 1])
        shown = {*self.images.box_category[first:last].tolist(), crop.label}
        label[[number for number in shown if 0 <= number < len(label)]] = 1
        return label

    def _read(self, row: int, part: Part) -> Pixels | None:
        """Read a part, or None where its file is gone or broken, as happens in a long run."""
        path = self.images.path(row)
        try:
            return read_part(path, self.bands, part, blank=self.images.kind == 'sentinel')
        # A file replaced by one of fewer bands is an IndexError.
        except (RasterioError, UnusableError, OSError, IndexError) as error:
            if row not in self._said:
                reason = error.__cause__ or error
                text = f'xscale: cannot read {path} ({reason}); its tile stays empty'
                print(text, file=sys.stderr, flush=True)
            self._said.add(row)
            return None

    def _nothing(self, part: Part) -> Pixels:
        """Return a part without data."""
        return np.zeros((len(self.bands), *part.shape), np.float32), np.zeros(part.shape, bool)

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Draw a sample.

        Args:
            sample: As :meth:`__getitem__` returns it, with a ``prediction`` if there is one.
            show_titles: Whether its label and metres per pixel are written above.
            suptitle: More to write above.

        Raises:
            RGBBandsMissingError: If red, green and blue are not among the bands.
        """
        names, convention = self.sensors[0].bands, BY_NAME['sentinel-2']
        places = [find_band(colour, names, convention) for colour in ('red', 'green', 'blue')]
        if None in places:
            raise RGBBandsMissingError
        image = sample['image'][[place - 1 for place in places if place]].float()
        full = 255.0 if self.images.kind == 'rgb' else max(1.0, float(image.quantile(0.98)))
        figure = Figure(figsize=(4, 4.4), layout='constrained')
        axis = figure.subplots()
        axis.imshow((image / full).clamp(0, 1).permute(1, 2, 0).numpy())
        axis.set_axis_off()
        if show_titles:
            shown = [f'{self._named(sample["label"])}, {float(sample["gsd"]):.3g} m']
            if 'prediction' in sample:
                shown.append(f'predicted: {self._named(sample["prediction"])}')
            axis.set_title('\n'.join(shown), fontsize=9)
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure

    def _named(self, label: Tensor) -> str:
        """Write the class or the classes of a label."""
        numbers = label.nonzero().ravel().tolist() if label.ndim else [int(label)]
        return ', '.join(self.classes[number] for number in numbers) or 'none'
