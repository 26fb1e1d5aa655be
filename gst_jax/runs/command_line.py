"""Read the flags of a command: help that fits a terminal, and mistakes answered in one line."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from absl import app, flags, logging

_WIDTH, _COLUMN = 80, 18


def run(main: Callable[..., None], takes_files: bool = False) -> None:
    """Run a command's `main`.

    Args:
        main: gets what its flags leave of the command line, where it takes files; else it gets nothing.
        takes_files: whether anything may be left.
    """

    def checked(arguments: list[str]) -> None:
        logging.set_verbosity(logging.WARNING)  # JAX tells absl which accelerators it does not find
        if takes_files:
            main(arguments[1:])
        elif len(arguments) > 1:
            sys.exit(f"gst_jax: unexpected argument {arguments[1]!r}; options begin with --, see --help")
        else:
            main()

    try:
        app.run(checked, flags_parser=_parse)
    except KeyboardInterrupt:  # before the command had begun
        print("gst_jax: interrupted", file=sys.stderr)
        sys.exit(130)
    except SystemExit as ended:
        if isinstance(ended.code, int) and ended.code > 128 and "jaxlib" in sys.modules:
            _leave(ended.code)
        raise


def _leave(status: int) -> None:
    """End the process at once.

    An interruption leaves the thread behind in which XLA compiles: Python's usual end would wait for it, then die of
    a segmentation fault in it. Half-written files are removed by then.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def nearest(word: str, words: Iterable[str]) -> str:
    """Return a question for the word that was meant, nothing where none is near."""
    found = difflib.get_close_matches(word, list(words), 1)
    return f"; did you mean {found[0]}?" if found else ""


def _parse(arguments: list[str]) -> list[str]:
    ours = flags.FLAGS.flags_by_module_dict()[sys.argv[0]]
    if {"-h", "--help", "-help"}.intersection(arguments):
        print(_help(sys.modules["__main__"].__doc__ or "", ours))
        sys.exit(0)
    try:
        return flags.FLAGS(arguments)
    except flags.UnrecognizedFlagError as error:
        question = nearest(f"--{error.flagname}", [f"--{flag.name}" for flag in ours] + ["--help"])
        sys.exit(f"gst_jax: there is no flag --{error.flagname}{question or '; --help lists them'}")
    except flags.Error as error:
        for flag in ours:
            if f"Flag --{flag.name} must have a value" in str(error):
                sys.exit(f"gst_jax: --{flag.name} is needed: {flag.help.rstrip('.')}; see --help")
        sys.exit(f"gst_jax: {' '.join(str(error).split())}; see --help")


def _help(doc: str, ours: list[Any]) -> str:
    lines = [doc.strip(), "", "Options:"]
    for flag in ours:
        is_shown = flag.default not in (None, False, "", []) and "default" not in flag.help
        default = f" (default: {flag.default_as_str.strip(chr(39))})" if is_shown else ""
        text = textwrap.wrap(flag.help.partition(";\n")[0] + default, _WIDTH - _COLUMN)
        name = f"  --{flag.name}".ljust(_COLUMN)
        lines += [first + rest for first, rest in zip([name, *[" " * _COLUMN] * len(text)], text, strict=False)]
    return "\n".join(lines)
