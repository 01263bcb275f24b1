"""How often one client may ask by HTTP."""

from __future__ import annotations

from bus import Settings
from quart_app.errors import Refused
from quart_app.rate_by_key import RateByKey
from quart_app.sparse_log import SparseLog

too_often = SparseLog("refusing requests of somebody who asks too often")


class RequestRate:
    """As many requests a second as a connection may send frames: `frame_rate`, and `frame_burst` after a silence."""

    def __init__(self, settings: Settings) -> None:
        self._rate = RateByKey(settings.frame_rate, settings.frame_burst)

    def take(self, who: str) -> None:
        """Count a request. One that is refused takes nothing: who waits then is served.

        Args:
            who: a client's id, or the site of one that is new (`site_of`).

        Raises:
            Refused: it is one too many.
        """
        if not self._rate.take(who):
            too_often.warn(who=who)
            raise Refused("too_many_requests", "too many requests; send fewer")
