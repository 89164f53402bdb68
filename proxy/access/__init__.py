"""Who may use a proxy: pairing tokens, users' passwords, bounds on requests, and what would make it an open proxy."""
