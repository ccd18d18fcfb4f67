"""Two looks at one place at different scales: the only code that moves geometry.

kornia's ``RandomResizedCrop`` samples without a low-pass filter, so a checkerboard of 256 px keeps
its contrast at 64 px: a scale pair made with it is an aliasing pair. Here the crop is resized with
an anti-aliasing triangle filter, written as two small matrix products per image (one for rows,
one for columns), which allows another crop for every image of a batch in one call.
"""

import math
from dataclasses import replace
from typing import Any

import torch
from kornia.augmentation import RandomResizedCrop
from torch import Tensor

from ..errors import ConfigError
from ..types import View


class AntialiasedCrop(RandomResizedCrop):
    """kornia's ``RandomResizedCrop`` with an anti-aliasing filter; takes boxes as ``params``.

    On a box of whole pixels it equals ``torch.nn.functional.interpolate(crop, size,
    mode='bilinear', antialias=True)``; boxes may have fractional edges.
    """

    def __init__(self, size: int, scale: tuple[float, float] = (0.25, 0.75)) -> None:
        """Make the augmentation.

        Args:
            size: Side of the output in pixels.
            scale: Range of the crop's area over the image's, for draws by kornia itself.
        """
        super().__init__((size, size), scale=scale, ratio=(1.0, 1.0), align_corners=False)

    def apply_transform(
        self,
        input: Tensor,
        params: dict[str, Tensor],
        flags: dict[str, Any],
        transform: Tensor | None = None,
    ) -> Tensor:
        """Crop and resize.

        Args:
            input: Images, shape (B, C, H, W).
            params: ``src``: corners (x, y) of the last and first pixel of each crop, (B, 4, 2).
            flags: ``size``: height and width of the output.
            transform: Not used.
        """
        src = params['src'].to(input)
        height, width = flags['size']
        # kornia names the centres of the corner pixels; edges lie half a pixel outside.
        start, stop = src[:, 0] - 0.5, src[:, 2] + 0.5
        rows = _filter(start[:, 1], stop[:, 1], input.shape[-2], height)
        cols = _filter(start[:, 0], stop[:, 0], input.shape[-1], width)
        return rows[:, None] @ input @ cols[:, None].mT


def _filter(start: Tensor, stop: Tensor, length: int, size: int) -> Tensor:
    """Write anti-aliased linear resampling of one axis as a matrix.

    Args:
        start: First edge of each crop, in pixels with edge 0 at −0.5, shape (B,).
        stop: Last edge, likewise.
        length: Pixels of the input along the axis.
        size: Pixels of the output.

    Returns:
        Weights, shape (B, size, length); every row sums to 1.
    """
    step = ((stop - start) / size)[:, None, None]
    centre = start[:, None, None] + (torch.arange(size, device=start.device)[:, None] + 0.5) * step
    pixel = torch.arange(length, device=start.device)
    weight = 1 - (pixel - centre).abs() / step.clamp(min=1)
    # Only the crop's own pixels count, so nothing beyond its edge leaks in.
    inside = (pixel > start[:, None, None] - 0.5) & (pixel < stop[:, None, None] + 0.5)
    weight = weight.clamp(min=0) * inside
    return weight / weight.sum(-1, keepdim=True)


def _turned(image: Tensor, turns: Tensor) -> Tensor:
    """Turn images over, left-right and up-down, where it is wanted."""
    for dim, turn in zip((-1, -2), turns, strict=True):
        image = torch.where(turn, image.flip(dim), image)
    return image


def _turned_box(box: Tensor, turns: Tensor, height: int, width: int) -> Tensor:
    """Find where boxes (top, left, height, width) of images lay before these were turned over."""
    top, left, tall, wide = box.unbind(1)
    right, down = turns.flatten(1)
    top = torch.where(down, height - top - tall, top)
    left = torch.where(right, width - left - wide, left)
    return torch.stack([top, left, tall, wide], dim=1)


class ScaleViews:
    """Cut a fine and a coarse view from each tile.

    The coarse view is the whole tile, or the same ground as another raster shows it; the fine view
    is a crop of the tile, drawn anew for every tile. Both come out at ``size`` pixels, so the crop
    has the smaller ground sample distance. Tiles read at ``size / sqrt(scale[0])`` pixels or more
    give a fine view that is nowhere upsampled.

    With a ``zoom`` the fine view has that many times the pixels along a side, and a coarse view,
    of another raster alone, shows the same ground; or ``whole``, it is as without one.
    """

    def __init__(
        self,
        size: int,
        scale: tuple[float, float] = (0.25, 0.75),
        ratio: tuple[float, float] = (1.0, 1.0),
        flip: bool = True,
        shared_crop: bool = False,
        zoom: int = 1,
        whole: bool = False,
        views: int = 2,
    ) -> None:
        """Make the transform.

        Args:
            size: Side of a view in pixels.
            scale: Range of the crop's area over the tile's.
            ratio: Range of the crop's width over its height; other than 1, pixels are not square.
            flip: Whether tiles are turned over at random, left-right and up-down.
            shared_crop: Use one crop for the whole batch, as the released Cross-Scale MAE does.
            zoom: Side of the fine view over ``size``.
            whole: Whether the coarse view is of the whole tile with a zoom too.
            views: 1 for the fine view alone.

        Raises:
            ConfigError: If a range is empty or leaves the tile.
        """
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ConfigError(
                f'scale {tuple(scale)}: needs 0 < smallest ≤ largest ≤ 1 (shares of area)'
            )
        if not 0 < ratio[0] <= ratio[1]:
            raise ConfigError(f'ratio {tuple(ratio)}: needs 0 < smallest ≤ largest')
        self.size, self.scale, self.ratio = size, tuple(scale), tuple(ratio)
        self.flip, self.shared_crop, self.zoom = flip, shared_crop, zoom
        self.views, self.same_ground = views, zoom > 1 and not whole
        self.crops = {side: AntialiasedCrop(side) for side in (size, size * zoom)}

    def __call__(
        self,
        image: Tensor,
        valid: Tensor,
        gsd: Tensor,
        generator: torch.Generator,
        coarse: tuple[Tensor, Tensor, Tensor] | None = None,
        frames: int = 1,
    ) -> tuple[View, ...]:
        """Make the views.

        Args:
            image: Normalised tiles, 0 where invalid, shape (B, C, T, T).
            valid: True where a pixel holds data, shape (B, 1, T, T).
            gsd: Metres per pixel of each tile, shape (B,).
            generator: Source of all randomness, on the CPU.
            coarse: The same ground in coarser rasters, which the coarse view is made of: image,
                valid and gsd. The ground of the tile fills the upper left of each image, at the
                pixels it takes there.
            frames: Images of one place that follow one another, which are cut and turned alike.

        Returns:
            The fine and the coarse view; the fine one alone where no other is wanted, or the coarse
            is to be of the same ground and there are no coarser rasters.
        """
        batch, _, height, width = image.shape
        places = batch // frames
        turns = self._turns(places, generator).to(image.device).repeat_interleave(frames, 1)
        image, valid = _turned(image, turns), _turned(valid, turns)
        box = self._draw(places, height, width, generator).to(image.device)
        box = box.repeat_interleave(frames, 0)
        fine = self._cut(image, valid, gsd, box, self.size * self.zoom)
        fine = replace(fine, frames=frames)
        if self.views == 1 or (coarse is None and self.same_ground):
            return (fine,)
        whole = torch.tensor([0.0, 0.0, height, width], device=image.device).expand(batch, 4)
        if coarse is None:
            return fine, replace(self._cut(image, valid, gsd, whole, self.size), frames=frames)
        sides = torch.stack([(side * gsd / coarse[2]).round() for side in (height, width)], dim=1)
        ground = _turned_box(box, turns, height, width) if self.same_ground else whole
        there = ground * sides.repeat(1, 2) / whole[:, 2:].repeat(1, 2)
        view = self._cut(*coarse, there, self.size)
        # Turned when it is cut: its ground does not fill the image it comes in.
        turned = [_turned(part, turns) for part in (view.image, view.valid)]
        origin = fine.origin if self.same_ground else view.origin
        return fine, replace(view, image=turned[0], valid=turned[1], origin=origin)

    def _turns(self, batch: int, generator: torch.Generator) -> Tensor:
        """Draw which tiles are turned over, left-right and up-down, shape (2, B, 1, 1, 1)."""
        shape = 2, batch, 1, 1, 1
        if not self.flip:
            return torch.zeros(shape, dtype=torch.bool)
        return torch.rand(shape, generator=generator) < 0.5

    def _draw(self, batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """Draw crops as (top, left, height, width) in pixels, shape (B, 4)."""
        count = 1 if self.shared_crop else batch
        area, aspect, down, right = torch.rand(4, count, generator=generator)
        area = self.scale[0] + area * (self.scale[1] - self.scale[0])
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        root = torch.exp((low + aspect * (high - low)) / 2)
        tall = (height * area.sqrt() / root).clamp(max=height)
        wide = (width * area.sqrt() * root).clamp(max=width)
        box = torch.stack([down * (height - tall), right * (width - wide), tall, wide], dim=1)
        return box.expand(batch, 4)

    def _cut(self, image: Tensor, valid: Tensor, gsd: Tensor, box: Tensor, size: int) -> View:
        """Cut one box (top, left, height, width) from each tile; invalid pixels weigh nothing."""
        top, left, tall, wide = box.unbind(1)
        params = _params(top, left, tall, wide, image.shape, size)
        # Pixels and their validity are resampled together, so a pixel is the mean of valid ones.
        both = self.crops[size](torch.cat([image * valid, valid.to(image)], dim=1), params=params)
        share = both[:, -1:]
        mask = share > 0.5
        height, width = gsd * tall / size, gsd * wide / size
        square = self.ratio == (1.0, 1.0) and image.shape[-2] == image.shape[-1]
        return View(
            image=both[:, :-1] / share.clamp(min=0.5) * mask,
            gsd=width if square else (height * width).sqrt(),
            origin=torch.stack([top, left], dim=1) * gsd[:, None],
            valid=mask,
            aspect=None if square else width / height,
        )


def _params(
    top: Tensor, left: Tensor, tall: Tensor, wide: Tensor, shape: torch.Size, size: int
) -> dict[str, Tensor]:
    """Write boxes the way kornia's crop takes them: the centres of the corner pixels."""
    bottom, right = top + tall - 1, left + wide - 1
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    src = torch.stack([torch.stack(corner, dim=-1) for corner in corners], dim=1)
    last = size - 1
    dst = src.new_tensor([[0, 0], [last, 0], [last, last], [0, last]]).expand_as(src)
    batch = len(src)
    return {
        'src': src,
        'dst': dst,
        'input_size': torch.tensor(shape[-2:]).expand(batch, 2),
        'output_size': torch.tensor([size, size]).expand(batch, 2),
        'batch_prob': torch.ones(batch),
        'forward_input_shape': torch.tensor(shape),
    }
