"""Weights of the diffusion engine: what a profile needs, fetched, checked and removed.

In: profiles. Out: files in the hub's cache and a record of their digests. Refuses: everything that could run code.
"""
