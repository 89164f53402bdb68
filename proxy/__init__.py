"""Sketchwire's domain: what crosses the thin link, and who decides about it.

Nothing in this package imports mitmproxy, torch or diffusers; a test walks the imports and proves it.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sketchwire")
except PackageNotFoundError:  # running from a checkout that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
