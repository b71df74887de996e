"""How much memory is free, in a container too."""

import os
from contextlib import suppress
from pathlib import Path

import torch

UNLIMITED = 1 << 60  # cgroup of version 1 writes a number about as large where there is no limit


def available_memory(device: torch.device, groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that a process may take: of a GPU, or its part of the machine's main memory.

    Args:
        groups: where the container's own cgroup is mounted, of version 2 or 1.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            most = int((groups / limit).read_text())
            if most < UNLIMITED:
                free = min(free, most - int((groups / used).read_text()))
    return max(0, free) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
