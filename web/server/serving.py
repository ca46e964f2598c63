"""From an app to a server: this machine only, and no connection that is open for nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from utils.errors import UserError

ADDRESS = "127.0.0.1"
SECONDS_TO_ASK = 15.0  # until a request's head must have arrived
CONNECTIONS = 256
LONGEST_HEAD = 16 << 10  # bytes


class PatientProtocol(H11Protocol):
    """HTTP/1.1 for clients that ask within SECONDS_TO_ASK; uvicorn's own waits for the end of a head forever."""

    _asked_by: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._unwatch()
        elif self._asked_by is None:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._asked_by = self.loop.call_later(SECONDS_TO_ASK, self.transport.close)

    def _unwatch(self) -> None:
        if self._asked_by is not None:
            self._asked_by.cancel()
            self._asked_by = None


def listen(port: int) -> socket.socket:
    """A socket of this machine that nobody else can reach.

    Raises:
        UserError: the port is taken, or may not be used.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((ADDRESS, port))
        found.listen(CONNECTIONS)
    except OSError as error:
        found.close()
        raise UserError(f"`port` {port}: it cannot be used ({error.strerror or error}); give another, or 0 for any "
                        "that is free") from error
    return found


def make_server(app: ASGIApp) -> uvicorn.Server:
    """A server that has not begun; `should_exit` ends it from any thread."""
    return uvicorn.Server(uvicorn.Config(
        app, http=PatientProtocol, ws="none", lifespan="off", log_level="warning", access_log=False,
        server_header=False, proxy_headers=False, h11_max_incomplete_event_size=LONGEST_HEAD,
        limit_concurrency=CONNECTIONS, timeout_keep_alive=5, timeout_graceful_shutdown=1))


def serve(server: uvicorn.Server, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until Ctrl-C or SIGTERM. `ready` is called once requests are answered."""
    async def run() -> None:
        asyncio.get_running_loop().call_soon(ready)
        await server.serve(sockets=[listening])

    asyncio.run(run())
