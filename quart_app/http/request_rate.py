"""How often one client may ask by HTTP."""

from __future__ import annotations

from collections import OrderedDict

from bus import Settings
from quart_app.errors import Refused
from quart_app.sparse_log import SparseLog
from quart_app.websocket.rate_limit import TokenBucket

too_often = SparseLog("refusing requests of somebody who asks too often")

MOST_REMEMBERED = 10_000
"""Clients that are remembered; past it those are forgotten that asked longest ago."""


class RequestRate:
    """As many requests a second as a connection may send frames: `frame_rate`, and `frame_burst` after a silence."""

    def __init__(self, settings: Settings) -> None:
        self._rate = settings.frame_rate
        self._burst = settings.frame_burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, who: str) -> None:
        """Count a request.

        Args:
            who: a client's id, or the address of one that is new.

        Raises:
            Refused: it is one too many.
        """
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = TokenBucket(self._rate, self._burst)
        self._buckets.move_to_end(who)
        if len(self._buckets) > MOST_REMEMBERED:
            self._buckets.popitem(last=False)
        if bucket.exceeded():
            too_often.warn(who=who)
            raise Refused("too_many_requests", "too many requests; send fewer")
