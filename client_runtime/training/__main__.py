"""`python -m client_runtime.training`: the same as `sketchwire train`."""

from client_runtime.training.commands import app

app()
