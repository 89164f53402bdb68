"""A small newspaper to try the pair on, and the runner that shows what it saves.

In: photographs that ship inside Python packages. Out: a site (`build_site`), an origin server for it (`Origin`), a
before/after gallery. Refuses: the network; everything the demonstration needs is on this machine.
"""

from proxy.demo.site import DemoImage, DemoPage, DemoSite, build_site

__all__ = ["DemoImage", "DemoPage", "DemoSite", "build_site"]
