"""How many CPUs this process may use, in a container too, and how its threads wait for one another."""

import math
import os
from contextlib import suppress
from pathlib import Path

SPINS = "1000"  # turns of an empty loop: microseconds, as long as one operation's threads are apart


def cpu_count() -> int:
    """CPUs that this process may use: its affinity, and the quota of its container (cgroup)."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        allowed = os.cpu_count() or 1
    quota = container_quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def spin_briefly() -> None:
    """Let threads that wait for others give their CPU away soon; has an effect before PyTorch is loaded only.

    Usually they keep it for milliseconds, since the others will be there at once. Where further processes
    need the CPUs, these others may not even run, and most of the time is spent waiting. What the environment
    says of it is left alone.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def container_quota(
    process: Path = Path("/proc/self"), groups: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """CPUs that the process's cgroup and those around it may use at a time; None where there is no limit.

    Args:
        process: the process's folder in /proc.
        groups: where the cgroup file system is mounted, of version 2 (`cpu.max`) or 1 (`cpu.cfs_quota_us`).
    """
    with suppress(OSError):
        memberships = [line.split(":", 2) for line in (process / "cgroup").read_text().splitlines()]
        limits = []
        for _, controllers, path in memberships:
            names = controllers.split(",")
            if controllers and "cpu" not in names:
                continue
            root = groups / "cpu" if controllers else groups
            own = root / path.strip("/")
            # Inside a container the path may be that of the machine, and the mount begins at the container.
            folders = [own, *own.parents] if own.is_dir() else [root]
            limits += [_limit(folder) for folder in folders if folder == root or root in folder.parents]
        return min((limit for limit in limits if limit is not None), default=None)
    return None


def _limit(group: Path) -> float | None:
    """CPUs that one cgroup may use, from the files of version 2 or 1."""
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota = int((group / "cpu.cfs_quota_us").read_text())
        return None if quota <= 0 else quota / int((group / "cpu.cfs_period_us").read_text())
    return None
