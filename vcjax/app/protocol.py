"""The HTTP protocol with a bound on how long the headers of a request may take."""

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class BoundedProtocol(H11Protocol):
    """Closes connections that send no whole request head in time; Uvicorn waits for ever."""

    header_seconds: ClassVar[float | int] = 10.0
    _timer: asyncio.TimerHandle | None = None

    @classmethod
    def with_limit(cls, seconds: float | int) -> type["BoundedProtocol"]:
        """Return the protocol with another bound."""
        return type("BoundedProtocol", (cls,), {"header_seconds": seconds})

    def connection_made(self, transport: Any) -> None:
        """Start the clock."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Stop the clock where the head is complete, and start it where another one has begun."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._timer is None:
            self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def _start(self) -> None:
        self._timer = self.loop.call_later(self.header_seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
