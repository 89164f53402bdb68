"""`python -m proxy` is `sketchwire`, also in a checkout that was never installed."""

from proxy.cli import main

if __name__ == "__main__":  # worker processes import this module again
    main()
