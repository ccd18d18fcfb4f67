"""Forward and backward of the attention backends, side by side, at the sizes training meets.

Usage: ``python benchmarks/attention.py``
"""

import statistics
import time

import torch

from xscale.errors import BackendUnavailableError
from xscale.models.attention import BACKENDS, check_backend

#: Batch, heads, tokens, channels a head: encoder and decoder of ViT-B/16 at 128 and 224 px, MAE.
SHAPES = ((32, 12, 17, 64), (32, 16, 65, 32), (32, 12, 50, 64), (32, 16, 197, 32), (4, 12, 577, 64))


def milliseconds(backend: str, qkv: torch.Tensor, repeat: int = 10) -> float:
    """Time one forward and backward: the median of some."""
    times = []
    for _ in range(repeat + 2):
        if qkv.is_cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.autocast(qkv.device.type, torch.bfloat16, enabled=qkv.dtype == torch.bfloat16):
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            out = BACKENDS[backend](q, k, v, None).transpose(1, 2).flatten(2)
        out.backward(torch.ones_like(out))
        qkv.grad = None
        if qkv.is_cuda:
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def main() -> None:
    """Print a row a shape and precision."""
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    backends = []
    for backend in BACKENDS:
        try:
            check_backend(backend, device)
            backends.append(backend)
        except BackendUnavailableError as error:
            print(error)
    print(f'{device}, {torch.get_num_threads()} threads, torch {torch.__version__}; ms')
    print(f'{"B, H, N, D":22}{"":10}', *(f'{name:>9}' for name in backends))
    for batch, heads, tokens, dim in SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            qkv = torch.randn(batch, tokens, 3, heads, dim, dtype=dtype, device=device)
            qkv.requires_grad_()
            row = (f'{milliseconds(name, qkv):9.2f}' for name in backends)
            kind = str(dtype).removeprefix('torch.')
            print(f'{f"{batch}, {heads}, {tokens}, {dim}":22}{kind:10}', *row)


if __name__ == '__main__':
    main()
