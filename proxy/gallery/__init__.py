"""The opt-in gallery: a few small pictures, before and after, that show the best and the worst in a report."""
