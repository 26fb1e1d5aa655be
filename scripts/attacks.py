"""Ask a running studio as other sites would, and hold connections that hardly send; used by studio_attack.py."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

CONNECTIONS = 200
CHANGES = ("songs", "songs/x", "comparisons", "music", "music/a-1", "looks", "trainings")
HOSTS = (
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1",
    "127.0.0.1:9",
    "127.0.0.1.evil.example:{port}",
    "",
    "[::1]",
)
ORIGINS = (
    "http://evil.example",
    "null",
    "",
    "http://127.0.0.1:9",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1",
    None,
)
OUTSIDE = ("/parts/../app.py", "/parts/..%2fapp.py", "/parts/%2e%2e/%2e%2e/config.py", "/reports/..", "//etc/passwd")
OUTSIDE += ("/reports/..%2f..%2f..%2fetc%2fpasswd", "/parts/studio.js%00.html", "/api/songs/..%2f..", "/%5c..%5c..")
_HEAD = "POST /api/songs HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
HELD = {  # what a connection sends before it only waits
    "nothing": "",
    "half a head": f"{_HEAD}X-A: ",
    "half a body": f"{_HEAD}Content-Length: 999999\r\n\r\nRIFF",
}


@contextlib.contextmanager
def studio(folder: str) -> Iterator[str]:
    """Run a studio; yield its host, with the port."""
    arguments = [sys.executable, "-m", "gst_jax", "studio", "--noopen", "--port=0"]
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            host = server.stdout.readline().split()[-1].split("/")[2]
            while not _answers(host):
                time.sleep(0.2)
            yield host
        finally:
            server.terminate()


def _answers(host: str) -> bool:
    with contextlib.suppress(OSError):
        return ask(host, "GET", "/")[0] == 200
    return False


def ask(host: str, method: str, path: str, **headers: str | None) -> tuple[int, bytes]:
    """Return status and body; a header that is None is left out."""
    connection = http.client.HTTPConnection(host, timeout=60)
    sent = {"Host": host, "Origin": f"http://{host}"} | headers
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in sent.items():
            if value is not None:
                connection.putheader(name, value)
        connection.putheader("Content-Length", "2" if method == "POST" else "0")
        connection.endheaders(b"{}" if method == "POST" else None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextlib.contextmanager
def held(host: str, start: str, count: int = CONNECTIONS) -> Iterator[None]:
    """Hold many connections that sent a part of a request and send no more."""
    name, _, port = host.partition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            one = stack.enter_context(socket.create_connection((name, int(port)), timeout=60))
            one.sendall(start.format(host=host).encode())
        yield


def waits(host: str, repeats: int = 20) -> list[float]:
    """Return how long each of some requests for the page took, s."""
    found = []
    for _ in range(repeats):
        begun = time.monotonic()
        assert ask(host, "GET", "/")[0] == 200
        found.append(time.monotonic() - begun)
    return found


def refusals(host: str) -> list[dict[str, object]]:
    """Ask as other sites would, and for what lies elsewhere."""
    port = host.partition(":")[2]
    statuses = {
        "requests under another host's name": [
            ask(host, method, path, Host=other.format(port=port))[0]
            for other in HOSTS
            for method, path in (("GET", "/"), ("GET", "/api/models"), ("POST", "/api/trainings"))
        ],
        "changes that a page of another site or port asks for": [
            ask(host, "POST", f"/api/{path}", Origin=other and other.format(port=port))[0]
            for other in ORIGINS
            for path in CHANGES
        ],
        "addresses that lead outside": [ask(host, "GET", path)[0] for path in OUTSIDE],
    }
    return [
        {"what": what, "tried": len(found), "held": sum(400 <= status < 500 for status in found), "note": ""}
        for what, found in statuses.items()
    ]
