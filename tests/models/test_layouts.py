"""Tokens of groups of bands and of dates, and what becomes of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from xscale.models.band_groups import BandGroups
from xscale.models.dates import UNKNOWN, date_fields
from xscale.models.frames import Frames
from xscale.models.groups import create_embeds
from xscale.models.layouts import layout_of
from xscale.models.masking import random_masks, repeat_masks
from xscale.models.position import encode_positions

from ..tiny import encoder, seeded, view


def test_dates_as_numpy_reads_them() -> None:
    rng = np.random.default_rng(0)
    stamps = rng.integers(-(10**9), 4 * 10**9, 2000)
    leap = [np.datetime64(t, 's').astype(int) for t in ('2000-02-29T23', '1999-12-31T23')]
    stamps = np.concatenate([stamps, leap, [0]])
    moments = stamps.astype('M8[s]')
    year = moments.astype('M8[Y]').astype(int) + 1970 - 2002
    month = moments.astype('M8[M]').astype(int) % 12
    hour = (moments - moments.astype('M8[D]')).astype(int) // 3600
    found = date_fields(torch.from_numpy(stamps.astype(np.float64)))
    assert torch.equal(found, torch.from_numpy(np.stack([year, month, hour], 1)).float())
    assert date_fields(torch.tensor([torch.nan], dtype=torch.float64)).tolist() == [[*UNKNOWN]]


@pytest.mark.parametrize(
    ('dim', 'group', 'time'), [(192, 64, 32), (384, 128, 64), (768, 256, 128), (1024, 256, 128)]
)
def test_widths_are_the_published_ones_and_in_proportion(dim: int, group: int, time: int) -> None:
    bands = ['B2', 'B3', 'B4']
    layouts = BandGroups({'a': bands[:1], 'b': bands[1:]}, bands), Frames(3)
    for layout, codes, of_decoder in zip(layouts, (group, 3 * time), (128, 192), strict=True):
        model = encoder(embed_dim=dim, num_heads=4, depth=0, in_chans=1 if codes == group else 3)
        embeds = create_embeds(model, {'b': 2} if codes == group else {})
        for part in (model.patch_embed, *embeds.values()):
            torch.nn.init.zeros_(part.proj.weight)
            torch.nn.init.zeros_(part.proj.bias)
        image = replace(view(batch=3), frames=1 if codes == group else 3)
        # Embeddings of 0 leave the positions, those of patches first.
        own = layout.tokens(model, image, embeds, 'index')[0, :16]
        decoder = layout.decoder_positions(image, 8, 512, 'index')[0, 1:17]
        for table, width in ((own, dim - codes), (decoder, 512 - of_decoder)):
            torch.testing.assert_close(
                table[:, :width], encode_positions(image, 8, width, 'index')[0]
            )
            assert (table[:, width:] == table[:1, width:]).all()


def test_tokens_of_a_place_are_averaged_by_what_they_hold() -> None:
    tokens = torch.tensor([1.0, 2.0, 3.0, 5.0, 7.0, 9.0]).reshape(1, 6, 1)
    weight = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.5]])[..., None]
    folded, held = Frames(3).fold(tokens, weight)
    # Of the first patch two dates hold data, of the second one.
    assert folded.flatten().tolist() == pytest.approx([4.0, 9.0])
    assert held.flatten().tolist() == pytest.approx([2 / 3, 1 / 6])
    empty, _ = Frames(3).fold(tokens, torch.zeros(3, 2, 1))
    assert empty.flatten().tolist() == pytest.approx([11 / 3, 16 / 3])
    groups = BandGroups({'a': ['1'], 'b': ['2'], 'c': ['3']}, ['1', '2', '3'])
    assert torch.equal(groups.fold(tokens, weight[:1])[0], empty)


def test_what_a_checkpoint_keeps_says_all() -> None:
    for layout in (BandGroups({'a': ['1', '3'], 'b': ['2']}, ['1', '2', '3'], 8, 4), Frames(2, 4)):
        again = layout_of({'mask_ratio': 0.5, **layout.options})
        assert type(again) is type(layout)
        assert again is not None
        assert again.options == layout.options
    assert layout_of({'block': 'pre_norm'}) is None


def test_masks_are_repeated() -> None:
    masks = random_masks(2, 16, 0.75, seeded(), torch.device('cpu'))
    same = repeat_masks(masks, 3)
    assert torch.equal(same.keep, torch.cat([masks.keep + 16 * i for i in range(3)], dim=1))
    shown = torch.ones(2, 48, dtype=torch.bool).scatter(1, same.keep, False)
    assert torch.equal(shown, same.masked)
    # In the order of the encoder's tokens, then the hidden ones.
    assert torch.equal(same.restore.argsort(1)[:, :12], same.keep)
