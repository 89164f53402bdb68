"""What can be wrong with a bundle, named for who must act."""


class BundleError(ValueError):
    """The bytes or values do not make a bundle: the sender must make another, the receiver falls back to the
    original.
    """


class BundleTooLarge(BundleError):
    """A declared size is over a limit; nothing was allocated for it."""


class UnsupportedBundle(BundleError):
    """A later version or an unknown critical section: the receiver is too old for this bundle."""
