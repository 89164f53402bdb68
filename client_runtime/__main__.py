"""`python -m client_runtime runtime …` and `python -m client_runtime decode …`: the runtime's commands alone."""

import typer

from client_runtime.commands import register

app = typer.Typer(help="Sketchwire's reconstruction runtime.", no_args_is_help=True, pretty_exceptions_enable=False)
register(app)

if __name__ == "__main__":
    app(prog_name="python -m client_runtime")
