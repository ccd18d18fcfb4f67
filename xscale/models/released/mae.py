"""MAE (He et al., CVPR 2022, arXiv:2111.06377)."""

from .family import CLASSIFIER, SINCOS, Family, Input, decoder_options

IMAGENET = Input('ImageNet, 0..1', (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

MAE = Family(
    name='mae',
    title='MAE',
    recognised=lambda state: 'pos_embed' in state and 'patch_embed.proj.weight' in state,
    rules=(
        (r'^(pos_embed|decoder_pos_embed)$', SINCOS),
        (r'^(cls_token|patch_embed\.proj\..*|blocks\..*|norm\..*)$', r'encoder.\1'),
        (r'^mask_token$', r'decoder.mask_token'),
        (r'^decoder_(embed|blocks|norm|pred)\.', r'decoder.\1.'),
        CLASSIFIER,
    ),
    input=IMAGENET,
    objective='MAE',
    options=lambda state, patches: decoder_options(state),
)
