"""What a step frees is kept for the next one."""

import ctypes
import platform
import subprocess
import sys

import pytest

#: Takes 64 MiB in pieces and frees them; prints how much of it is kept, in bytes.
CODE = """
import ctypes
import torch
from xscale.tasks.memory import keep_memory

class Info(ctypes.Structure):
    names = 'arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost'
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

if {keep}:
    assert keep_memory()
library = ctypes.CDLL(None)
library.mallinfo2.restype = Info
before = library.mallinfo2().fordblks
pieces = [torch.zeros(2**20) for _ in range(16)]
del pieces
print(library.mallinfo2().fordblks - before)
"""


def kept(keep: bool) -> int:
    command = [sys.executable, '-c', CODE.format(keep=keep)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(
    platform.libc_ver()[0] != 'glibc' or not hasattr(ctypes.CDLL(None), 'mallinfo2'),
    reason='only glibc is told, and only from 2.33 on it says how much it keeps',
)
def test_memory_is_kept() -> None:
    assert kept(keep=True) > 0.9 * 2**26
    assert kept(keep=False) < 0.1 * 2**26
