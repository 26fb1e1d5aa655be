"""Refuse what another site, or an endless sender, might ask of the studio; tell browsers what its pages may do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FORM_BYTES = 1 << 16  # of a request that is no sound
_WAITS = 30.0  # seconds for the next part of a body
_SAFE = frozenset({"GET", "HEAD"})
# The pages load nothing from elsewhere, run no script but ours, and stand in no other site's frame.
_POLICY = (
    "default-src 'self'; img-src 'self' data:; connect-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# A report holds its own style and script; without an origin, it can ask nothing of the studio.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; connect-src data:; "
    "frame-ancestors 'none'; sandbox allow-scripts allow-downloads"
)


class Refused(ValueError):
    """A request that is not answered as asked; the message says why."""

    def __init__(self, message: str, status: int = 400) -> None:
        """Keep the HTTP status with the message."""
        super().__init__(message)
        self.status = status


class Guard:
    """Let through what the studio's own pages send: the right Host, and for every change the right Origin.

    A site that has its name point here (DNS rebinding) sends another Host; a page elsewhere that posts here (CSRF)
    sends its own Origin. Nothing is shared across origins.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        """Guard an app.

        Args:
            app: to be guarded.
            hosts: that it answers to, with the port, as `127.0.0.1:8765`.
        """
        self._app, self._hosts = app, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":  # there are no web sockets here
            answer: ASGIApp = self._app if self._allows(scope) else _REFUSAL
            await answer(scope, receive, _with_headers(send))

    def _allows(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return False
        if scope["method"] in _SAFE:
            return True
        site = headers.get("sec-fetch-site", "same-origin")
        return site == "same-origin" and headers.get("origin", "").lower() == f"http://{hosts[0].lower()}"


_REFUSAL = JSONResponse({"error": "this request does not come from the studio's own page"}, 403)


def _with_headers(send: Send) -> Send:
    """Add to each answer what keeps browsers from trusting it too far."""

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", _POLICY)
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
        await send(message)

    return answer


async def limited(request: Request, most: int) -> AsyncIterator[bytes]:
    """Yield the body of a request as it comes.

    Args:
        request: whose word on the length of its body is not relied on.
        most: bytes.

    Raises:
        Refused: as soon as there are more, or nothing comes for a while.
    """
    count, parts = 0, aiter(request.stream())
    while True:
        try:
            part = await asyncio.wait_for(anext(parts), _WAITS)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise Refused(f"nothing came for {_WAITS:.0f} s; send it again", 408) from error
        count += len(part)
        if count > most:
            raise Refused(f"that is more than {most / 1e6:.0f} MB, the most that is taken", 413)
        yield part


async def read_form(request: Request) -> dict[str, Any]:
    """Return what a page sends as a JSON object.

    Raises:
        Refused: when it is none, or too long.
    """
    body = b"".join([part async for part in limited(request, _FORM_BYTES)])
    try:
        form = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("this is not a JSON object") from error
    if not isinstance(form, dict):
        raise Refused("this is not a JSON object")
    return form
