"""The pages that a proxy shows its own users: setting up, testing, what was saved, choosing originals, off."""
