"""A user study on one's own machine: people rate, judge in context and compare reconstructed images, blind."""
