"""Which hosts' TLS connections are left alone: a list, and what clients taught us by refusing our certificates."""
