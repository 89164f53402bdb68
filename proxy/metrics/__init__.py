"""What a proxy tells Prometheus: counters and histograms of responses, gauges of its parts.

In: ledger rows, and functions that read a number when asked. Out: the text of `/metrics`. Refuses: labels that name a
person or a site.
"""

from proxy.metrics.definitions import Metrics

__all__ = ["Metrics"]
