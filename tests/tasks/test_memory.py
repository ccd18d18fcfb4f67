"""What a step frees is kept for the next one."""

import platform
import subprocess
import sys

import pytest

#: Frees and takes 64 MiB in pieces, and prints how many pages had to be mapped the second time.
CODE = """
import resource
import torch
from xscale.tasks.memory import keep_memory
if {keep}:
    assert keep_memory()
def take():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [torch.zeros(2**20) for _ in range(16)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
take()
print(take())
"""


def faults(keep: bool) -> int:
    command = [sys.executable, '-c', CODE.format(keep=keep)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc is told')
def test_memory_is_kept() -> None:
    assert faults(keep=True) < 0.1 * faults(keep=False)
