"""Measurements of the link between the proxies: bytes, round trips, page loads, throughput."""
