"""Layer decay, and LARS."""

import pytest
import torch
from torch import nn

from xscale.models.vit import create_encoder
from xscale.tasks.schedule import create_optimizer, parameter_groups


def test_layer_decay() -> None:
    """Each block learns half as fast as the next, the last half as fast as the head."""
    encoder, head = create_encoder('test_vit'), nn.Linear(64, 2)
    groups = parameter_groups(encoder, head, weight_decay=0.05, layer_decay=0.5)
    optimizer = create_optimizer('adamw', groups, 1.0, (0.9, 0.999))
    lr, decay = {}, {}
    for group in optimizer.param_groups:
        for parameter in group['params']:
            lr[parameter], decay[parameter] = group['lr'], group['weight_decay']
    wanted = {n for n, p in encoder.named_parameters() if p.requires_grad}
    assert {n for n, p in encoder.named_parameters() if p in lr} == wanted
    for number, block in enumerate(encoder.blocks):
        assert lr[block.mlp.fc1.weight] == pytest.approx(0.5 ** (6 - number))
        assert decay[block.mlp.fc1.weight] == 0.05
        assert decay[block.mlp.fc1.bias] == decay[block.norm1.weight] == 0
    assert lr[encoder.patch_embed.proj.weight] == lr[encoder.cls_token] == pytest.approx(0.5**7)
    assert decay[encoder.cls_token] == 0
    assert lr[head.weight] == lr[head.bias] == 1
    assert (decay[head.weight], decay[head.bias]) == (0.05, 0)


def test_a_frozen_encoder_has_no_groups() -> None:
    encoder, head = create_encoder('test_vit').requires_grad_(False), nn.Linear(64, 2)
    groups = parameter_groups(encoder, head, weight_decay=0.0, layer_decay=0.5)
    assert sum(len(group['params']) for group in groups) == 2


def test_lars_adapts_matrices_alone() -> None:
    """As MAE's: a matrix moves by lr · trust · |weight| / |gradient|, a vector by lr."""
    head = nn.Linear(3, 2)
    with torch.no_grad():
        head.weight.fill_(2.0)
        head.bias.zero_()
    groups = parameter_groups(create_encoder('test_vit').requires_grad_(False), head, 0.0, 1.0)
    optimizer = create_optimizer('lars', groups, 0.1, (0.9, 0.999))
    head.weight.grad, head.bias.grad = torch.ones(2, 3), torch.ones(2)
    optimizer.step()
    torch.testing.assert_close(head.weight.data, torch.full((2, 3), 2 - 0.1 * 0.001 * 2))
    torch.testing.assert_close(head.bias.data, torch.full((2,), -0.1))
