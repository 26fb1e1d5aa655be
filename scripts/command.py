"""Run a script that takes flags alone; used by the other scripts."""

from __future__ import annotations

from collections.abc import Callable

from absl import app, logging


def run(main: Callable[[], None]) -> None:
    """Parse the flags, refuse anything else on the command line, then call the script's `main`."""

    def checked(argv: list[str]) -> None:
        if len(argv) > 1:
            raise app.UsageError(f"unexpected argument {argv[1]!r}; several values of a flag are joined by commas")
        logging.set_verbosity(logging.WARNING)  # JAX tells absl which accelerators it does not find
        main()

    app.run(checked)
