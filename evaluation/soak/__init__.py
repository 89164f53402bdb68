"""Hours of browsing in minutes: does anything fail, does anything grow? See `evaluation.soak.__main__`."""
