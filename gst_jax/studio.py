"""Open the studio: a page in your browser to convert, train and listen.

  gst_jax studio
  gst_jax studio --folder=my_music           runs and music lie there

Everything stays on this computer. Ctrl-C ends it.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

from absl import flags

from gst_jax.runs import command_line

if TYPE_CHECKING:
    import socket
    from pathlib import Path

_FOLDERS = flags.DEFINE_multi_string(
    "folder",
    ["."],
    "folder that the page may read; runs are kept in the first one (default: this one); may be repeated",
)
_PORT = flags.DEFINE_integer("port", 8765, "port of the page; 0: any that is free", 0, 65_535)
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "address to serve at; another one lets others in, without a password"
)
_OPEN = flags.DEFINE_bool("open", True, "open the browser")
_NEEDED = ("starlette", "uvicorn")


def main() -> None:
    """Serve the page until Ctrl-C."""
    from gst_jax.runs import startup

    with startup.plain_messages():
        if not all(map(importlib.util.find_spec, _NEEDED)):
            raise ValueError("the studio needs two more packages: pip install 'gst_jax[studio]'")
        from pathlib import Path

        folders = tuple(Path(name).resolve() for name in _FOLDERS.value)
        for folder in folders:
            if not folder.is_dir():
                raise FileNotFoundError(f"--folder: there is no folder {folder}; make it first")
        if _HOST.value in ("", "0.0.0.0", "::", "[::]"):
            raise ValueError("--host must be the one address that browsers will ask for, as 192.168.1.5")
        _serve(folders, _listen())


def _listen() -> socket.socket:
    import socket

    try:
        return socket.create_server((_HOST.value, _PORT.value))
    except OSError as error:
        raise OSError(f"cannot serve at {_HOST.value}:{_PORT.value} ({error.strerror}); try --port=0") from error


def _serve(folders: tuple[Path, ...], listening: socket.socket) -> None:
    import signal
    import tempfile
    import threading
    import webbrowser

    import uvicorn

    from gst_jax.runs import atomic
    from gst_jax.web import app

    port = listening.getsockname()[1]
    names = {_HOST.value, "localhost"} if _HOST.value == "127.0.0.1" else {_HOST.value}
    address = f"http://{_HOST.value}:{port}/"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # or trainings would inherit a deaf ear for it
    atomic.sweep(tempfile.gettempdir())
    with atomic.scratch(tempfile.gettempdir()) as scratch:
        served = app.create(folders, scratch, tuple(f"{name}:{port}" for name in names))
        settings = uvicorn.Config(served, log_level="warning", server_header=False, timeout_graceful_shutdown=1)
        print(f"the studio is at {address}\nCtrl-C ends it", flush=True)
        if _OPEN.value:
            threading.Timer(0.5, webbrowser.open, [address]).start()
        try:
            uvicorn.Server(settings).run([listening])
        except KeyboardInterrupt:
            print("\nended", file=sys.stderr)


if __name__ == "__main__":
    command_line.run(main)
