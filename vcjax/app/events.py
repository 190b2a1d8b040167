"""Events for pages: each subscriber has the newest state of everything that changed since it was last served."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from vcjax.app.errors import Refused

HEARTBEAT = 15.0  # seconds between comments on a silent connection, which show that it lives
Key = tuple[str, str]  # event, and what it is about


class Events:
    """Distribution of events to subscribers.

    An event that is not yet delivered is replaced by a newer one of the same kind about the same thing, so that a slow
    connection takes no more memory than the state that it shows.

    Args:
        most: most subscribers.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._subscribers: set[_Subscriber] = set()

    def publish(self, event: str, about: str, data: dict[str, Any]) -> None:
        """Send an event to all subscribers."""
        if self._subscribers:
            text = f"event: {event}\ndata: {json.dumps(data)}\n\n"
            for subscriber in self._subscribers:
                subscriber.put((event, about), text)

    async def subscribe(
        self, first: list[tuple[str, str, dict[str, Any]]], only: str | None
    ) -> AsyncIterator[str]:
        """Yield events as the text of server-sent events, for ever.

        Args:
            first: events to begin with: their name, what they are about, and their data.
            only: what the events must be about; all of them where None.

        Raises:
            Refused: there are too many subscribers.
        """
        if len(self._subscribers) >= self._most:
            raise Refused(503, f"more than {self._most} pages are open: close one")
        subscriber = _Subscriber(only)
        self._subscribers.add(subscriber)
        try:
            yield ""  # the subscription stands
            for event, about, data in first:
                subscriber.put((event, about), f"event: {event}\ndata: {json.dumps(data)}\n\n")
            while True:
                yield await subscriber.take()
        finally:
            self._subscribers.discard(subscriber)


class _Subscriber:
    def __init__(self, only: str | None) -> None:
        self._only = only
        self._pending: dict[Key, str] = {}
        self._arrived = asyncio.Event()

    def put(self, key: Key, text: str) -> None:
        if self._only in (None, key[1]):
            self._pending[key] = text
            self._arrived.set()

    async def take(self) -> str:
        try:
            await asyncio.wait_for(self._arrived.wait(), HEARTBEAT)
        except TimeoutError:
            return ": still here\n\n"
        self._arrived.clear()
        texts, self._pending = list(self._pending.values()), {}
        return "".join(texts)
