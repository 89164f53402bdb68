"""Data sets: which images an experiment looks at, and what is known of each."""
