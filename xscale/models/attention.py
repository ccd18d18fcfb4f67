"""One attention function, several ways to compute it."""

import importlib.util
from collections.abc import Callable
from functools import cache

import torch
from timm.layers import Attention as TimmAttention
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import BackendUnavailableError, UnknownNameError


def _math(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Softmax attention written out; the yardstick of the others."""
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    if bias is not None:
        scores = scores + bias
    return scores.softmax(dim=-1) @ v


def _sdpa(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def _xformers(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """XFormers' memory-efficient attention, which wants the heads after the tokens."""
    from xformers.ops import memory_efficient_attention

    if bias is not None:
        bias = bias.expand(q.shape[0], q.shape[1], q.shape[2], k.shape[2])
        # Its kernels read the bias in strides of eight.
        padding = -bias.shape[-1] % 8
        bias = F.pad(bias, (0, padding))[..., : bias.shape[-1]]
    heads_last = (tensor.transpose(1, 2) for tensor in (q, k, v))
    return memory_efficient_attention(*heads_last, attn_bias=bias).transpose(1, 2)


BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]] = {
    'math': _math,
    'sdpa': _sdpa,
    'xformers': _xformers,
}


#: Tokens up to which all scores of a row are held without a thought.
SHORT = 1024


def check_backend(backend: str, device: torch.device | None = None) -> None:
    """Make sure that a backend can run.

    Args:
        backend: 'auto' or a key of :data:`BACKENDS`.
        device: Where it should run; None asks for this machine.

    Raises:
        UnknownNameError: If there is no such backend.
        BackendUnavailableError: If it cannot run here.
    """
    if backend not in BACKENDS and backend != 'auto':
        raise UnknownNameError('attention backend', backend, ['auto', *BACKENDS])
    if backend != 'xformers':
        return
    on_gpu = torch.cuda.is_available() if device is None else device.type == 'cuda'
    if not on_gpu:
        why = 'its memory-efficient attention needs an NVIDIA GPU'
        raise BackendUnavailableError(backend, why, "choose 'sdpa' or 'auto'")
    if not _has_xformers():
        remedy = "pip install 'xscale[xformers]', or choose 'sdpa' or 'auto'"
        raise BackendUnavailableError(backend, 'xformers is not installed', remedy)


@cache
def _has_xformers() -> bool:
    return importlib.util.find_spec('xformers') is not None


def _choose(q: Tensor, k: Tensor) -> str:
    """Pick the fastest backend for tensors like these."""
    if q.is_cuda:
        return 'xformers' if _has_xformers() else 'sdpa'
    # PyTorch's fused backward in bfloat16 on a CPU is slow; benchmarks/attention.py prints by how
    # much. The written-out one holds all scores, so long rows do without it.
    half = q.dtype in (torch.bfloat16, torch.float16)
    return 'math' if half and q.shape[-2] * k.shape[-2] <= SHORT**2 else 'sdpa'


def attend(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, backend: str = 'auto'
) -> Tensor:
    """Scaled dot-product attention.

    Args:
        q: Queries, shape (B, H, N, D).
        k: Keys, shape (B, H, M, D).
        v: Values, shape (B, H, M, D).
        bias: Added to the scores before the softmax, broadcastable to (B, H, N, M).
        backend: 'math', 'sdpa' (PyTorch's fused kernels), 'xformers' (NVIDIA GPUs), or 'auto':
            xFormers where it is installed and the tensors are on a GPU; 'math' for short rows of
            half precision on a CPU; else 'sdpa'.

    Returns:
        Attended values, shape (B, H, N, D).

    Raises:
        UnknownNameError: If there is no such backend.
        BackendUnavailableError: If the backend cannot run on the tensors' device.
    """
    if backend == 'auto':
        backend = _choose(q, k)
    check_backend(backend, q.device)
    return BACKENDS[backend](q, k, v, bias)


class Attends:
    """A layer that goes through :func:`attend`."""

    backend: str = 'auto'


class Attention(Attends, TimmAttention):
    """timm's self-attention, parameter for parameter, through :func:`attend`."""

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attend.

        Args:
            x: Tokens, shape (B, N, D).
            attn_mask: Bias added to the scores, broadcastable to (B, H, N, N).
            is_causal: Not supported; images have no direction.
        """
        batch, count, _ = x.shape
        qkv = self.qkv(x).reshape(batch, count, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y = attend(self.q_norm(q), self.k_norm(k), v, attn_mask, self.backend)
        y = self.norm(y.transpose(1, 2).reshape(batch, count, self.attn_dim))
        if getattr(self, 'gate', None) is not None:  # of timm 1.0.31
            y = y * self.gate(x).sigmoid()
        return self.proj_drop(self.proj(y))


def set_backend(module: nn.Module, backend: str) -> None:
    """Choose the backend of every attention layer in a module.

    Args:
        module: A model whose layers go through :func:`attend`.
        backend: As :func:`attend` takes it.

    Raises:
        UnknownNameError: If there is no such backend.
        BackendUnavailableError: If it cannot run on this machine.
    """
    check_backend(backend)
    for layer in module.modules():
        if isinstance(layer, Attends):
            layer.backend = backend
