"""Sketchwire's reconstruction runtime: a process of its own that turns bundles back into images.

It imports `proxy.bundle` and `proxy.config` and nothing else of the proxies, so that either can be replaced or fail
alone.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sketchwire")
except PackageNotFoundError:  # running from a checkout that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
