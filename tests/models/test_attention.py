"""Every backend computes the same attention, and the layer is timm's."""

import pytest
import torch
from timm.layers import Attention as TimmAttention
from torch import Tensor, nn

from xscale.errors import BackendUnavailableError, UnknownNameError
from xscale.models import attention
from xscale.models.attention import Attention, attend, check_backend, set_backend

from ..tiny import encoder, seeded

needs_gpu = pytest.mark.skipif(
    not (torch.cuda.is_available() and attention._has_xformers()), reason='needs a GPU and xformers'
)
#: Backend, device, dtype and the tolerance that dtype allows.
BACKENDS = [
    ('sdpa', 'cpu', torch.float64, 1e-12),
    ('auto', 'cpu', torch.float64, 1e-12),
    pytest.param('xformers', 'cuda', torch.float32, 1e-4, marks=needs_gpu),
]


@pytest.mark.parametrize(('backend', 'device', 'dtype', 'tolerance'), BACKENDS)
@pytest.mark.parametrize('shape', [None, (3, 5, 7), (2, 3, 5, 7), (1, 1, 1, 7)])
def test_parity(
    backend: str, device: str, dtype: torch.dtype, tolerance: float, shape: tuple[int, ...] | None
) -> None:
    """Values, and gradients of queries, keys, values and bias."""
    q, k, v, upstream = (
        torch.randn(2, 3, n, 8, generator=seeded(i), dtype=torch.float64)
        for i, n in enumerate((5, 7, 7, 5))
    )
    bias = None if shape is None else 3 * torch.randn(shape, generator=seeded(9)).double()

    def run(backend: str, device: str, dtype: torch.dtype) -> list[Tensor]:
        given = [t.to(device, dtype).requires_grad_() for t in (q, k, v, bias) if t is not None]
        out = attend(*given, backend=backend)
        grads = torch.autograd.grad(out, given, upstream.to(out))
        return [t.detach().cpu().double() for t in (out, *grads)]

    expected = run('math', 'cpu', torch.float64)
    for result, reference in zip(run(backend, device, dtype), expected, strict=True):
        torch.testing.assert_close(result, reference, rtol=tolerance, atol=tolerance)


def test_bias_closes_pairs() -> None:
    q, k, v = (torch.randn(1, 1, 4, 8, generator=seeded(i)) for i in range(3))
    bias = torch.full((4, 4), float('-inf')).fill_diagonal_(0.0)
    for backend in ('math', 'sdpa'):
        torch.testing.assert_close(attend(q, k, v, bias, backend), v)


def test_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    q = torch.zeros(1, 1, 2, 8)
    with pytest.raises(BackendUnavailableError, match="needs an NVIDIA GPU; choose 'sdpa'"):
        attend(q, q, q, backend='xformers')
    monkeypatch.setattr(attention, '_has_xformers', lambda: False)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'xscale\[xformers\]'"):
        check_backend('xformers', torch.device('cuda'))


def test_unknown() -> None:
    q = torch.zeros(1, 1, 2, 8)
    with pytest.raises(UnknownNameError, match=r"'flash'; choose one of: auto, math, sdpa"):
        attend(q, q, q, backend='flash')
    with pytest.raises(UnknownNameError):
        set_backend(nn.Identity(), 'flash')


@pytest.mark.parametrize('backend', ['math', 'sdpa'])
@pytest.mark.parametrize('options', [{}, {'qk_norm': True, 'scale_norm': True}, {'gated': True}])
def test_layer_is_timms(backend: str, options: dict[str, bool]) -> None:
    torch.manual_seed(0)
    options = {'num_heads': 4, 'qkv_bias': True, 'norm_layer': nn.LayerNorm} | options
    try:
        theirs = TimmAttention(32, **options).double()
    except TypeError:
        pytest.skip('not of this timm')
    ours = Attention(32, **options).double()
    ours.load_state_dict(theirs.state_dict())
    set_backend(ours, backend)
    assert ours.backend == backend
    x = torch.randn(2, 6, 32, generator=seeded(), dtype=torch.float64)
    bias = torch.randn(4, 6, 6, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(ours(x, bias), theirs(x, bias), rtol=0, atol=1e-12)


def test_set_backend_reaches_every_block() -> None:
    model = encoder()
    set_backend(model, 'math')
    assert [block.attn.backend for block in model.blocks] == ['math', 'math']
