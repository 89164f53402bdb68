"""The runtime's service: an HTTP API over a queue, micro-batches, one engine thread and a cache on disk."""
