"""Lets a proxy have as many connections as the system allows: many systems start processes with 1,024 open files.

In: nothing. Out: the number of files this process may have open from now on. Refuses: to go over the system's own
limit, or to fail where limits cannot be changed.
"""

from __future__ import annotations

import contextlib
import resource

WANTED = 65_536


def raise_limit(wanted: int = WANTED) -> int:
    """Raise the soft limit towards `wanted`; it is never lowered. Returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    aim = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= aim:
        return soft
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (aim, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
