"""The mitmproxy addons: a thin shell that turns flows into facts, asks `proxy`, and changes each flow once.

Nothing here decides anything about images; nothing in `proxy` knows mitmproxy.
"""
