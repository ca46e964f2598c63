"""Who may ask, how much, and how slowly: what stands before every request.

A page of another site can make a browser send requests to this machine. It cannot make it lie about where they come
from: `Host` must name this machine (else a name of another site has been made to point here), and `Origin` and
`Sec-Fetch-Site`, where a browser sends them, must say that the page is our own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 16 << 20     # of a request's body: the largest mask file there is
MOST_REQUESTS = 64        # at a time
SECONDS_TO_SEND = 20.0    # that a client may take for a whole body
SECONDS_TO_TAKE = 60.0    # ... and to take a piece of an answer
HOSTS = ("127.0.0.1", "localhost")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
                               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache",
}


class Refused(Exception):
    """A request that is not answered: HTTP status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Guard:
    """ASGI middleware: refuses what no page of ours asks, adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # there are none here
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_on(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *own]}
            await asyncio.wait_for(send(message), SECONDS_TO_TAKE)

        self.requests += 1
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            if self.requests > MOST_REQUESTS:
                raise Refused(503, f"more than {MOST_REQUESTS} requests at a time; try again")
            check_origin(scope["method"], scope["path"], headers)
            if scope["method"] == "POST":
                receive = await _with_body(headers, receive)
            await self.app(scope, receive, send_on)
        except Refused as refusal:
            if not begun:
                close = {"Connection": "close"}  # the rest of a body that is not read would be taken for a request
                answer = PlainTextResponse(f"{refusal}\n", refusal.status, headers=close)
                await answer(scope, receive, send_on)
        finally:
            self.requests -= 1


def check_origin(method: str, path: str, headers: Mapping[str, str]) -> None:
    """Refuse what does not come from a page of ours, or from no page at all (a command line, an address typed in).

    A link on another page may open the editor, and nothing else.

    Raises:
        Refused: it comes from elsewhere.
    """
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name not in HOSTS:
        raise Refused(403, "this server answers to 127.0.0.1 and localhost only")
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    opens = method == "GET" and path == "/" and headers.get("sec-fetch-mode") == "navigate" and (
        headers.get("sec-fetch-dest") == "document")
    if not opens and ((origin is not None and origin != f"http://{host}") or site not in ("none", "same-origin")):
        raise Refused(403, "this server answers to its own page only")


async def _with_body(headers: Mapping[str, str], receive: Receive) -> Receive:
    """Read a whole body, within bounds of size and time, and hand it on.

    Raises:
        Refused: it is too large, too slow, or not finished.
    """
    length = headers.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit()):
        raise Refused(400, "Content-Length is no number")
    if length is not None and int(length) > MOST_BYTES:
        raise Refused(413, f"more than {MOST_BYTES >> 20} MB")
    body = bytearray()

    async def read() -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the request ended early")
            body.extend(message.get("body", b""))
            more = message.get("more_body", False)
            if len(body) > MOST_BYTES:
                raise Refused(413, f"more than {MOST_BYTES >> 20} MB")

    try:
        await asyncio.wait_for(read(), SECONDS_TO_SEND)
    except asyncio.TimeoutError:
        raise Refused(408, f"the request took more than {SECONDS_TO_SEND:.0f} s to arrive") from None
    whole = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def receive_whole() -> Message:
        return whole.pop() if whole else await receive()

    return receive_whole
