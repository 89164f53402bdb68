"""Several runtimes behind the face of one: which is asked, when a second one is, and who counts as healthy."""
