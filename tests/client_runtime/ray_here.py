"""A small Ray of this machine.

In: how many cores it may count on. Out: a started Ray. Refuses: to give up after the half minute that Ray gives its own
processes, which a busy machine may need more than once.
"""

from __future__ import annotations

import ray

OBJECT_STORE_BYTES = 80 * 1024 * 1024
TRIES = 4


def start_ray(cpus: int) -> None:
    """Start it. Raises what Ray raises, after the last try."""
    for attempt in range(TRIES):
        try:
            ray.init(
                num_cpus=cpus,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                address="local",
            )
            return
        except Exception:
            ray.shutdown()
            if attempt == TRIES - 1:
                raise
