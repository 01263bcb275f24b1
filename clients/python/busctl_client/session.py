"""Who this client is to the server, and which events it has: `connect`, `welcome` and the cursors of `bus.v1`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from busctl_client.events import Frame, Welcome

CLIENT = "client"
"""The scope of events without a group."""
REMEMBERED = 1000
"""Events by which one that comes twice is known."""
MOST_SCOPES = 64
"""Cursors that a server takes."""


class Session:
    """Outlives connections; with `saved()`, also the process.

    Args:
        saved: of an earlier session; None begins as a new client.
        cursors: where a new one begins: by scope the last sequence that it does not need, 0 for all that is kept; a
            scope that is left out begins now.
    """

    def __init__(self, saved: Mapping[str, Any] | None = None, cursors: Mapping[str, int] | None = None) -> None:
        self.client_id: str | None = None
        self._epoch: str | None = None
        self._resume: str | None = None
        self._cursors: dict[str, int] = {CLIENT: 0} if cursors is None else dict(cursors)
        self._floor: dict[str, int] = {}  # the cursors when this connection, or what it has live, began
        self._arrived: OrderedDict[int, None] = OrderedDict()  # the latest sequences since then
        self._replay: dict[str, int] | None = None  # the cursors behind the replay that is arriving
        self._missing = 0  # events of that replay
        if saved is not None:
            self._restore(saved)

    @property
    def replaying(self) -> bool:
        """Whether events of a replay are still to come."""
        return self._missing > 0

    def saved(self) -> dict[str, Any]:
        """Who this is, as JSON can keep it. Whoever has it is this client: keep it secret.

        Cursors of the client's own events are left out, so that who comes back is told of its jobs again.
        """
        groups = {scope: seq for scope, seq in self._cursors.items() if scope != CLIENT}
        return {"client_id": self.client_id, "epoch": self._epoch, "resume": self._resume, "groups": groups}

    def connect(self, token: str | None) -> Frame:
        """The first frame of a connection."""
        self._missing = 0
        payload: dict[str, Any] = {"cursors": self._cursors}
        if token is not None:
            payload["token"] = token
        if self._resume is not None:
            payload["resume"] = self._resume
        return {"action": "connect", "payload": payload}

    def welcome(self, payload: Mapping[str, Any]) -> Welcome:
        """Be who the server says."""
        client_id, epoch, cursors = payload["client_id"], payload["epoch"], payload["cursors"]
        first = self.client_id is None  # nothing was seen before, so nothing is missing
        same_client = first or client_id == self.client_id
        same_stream = first or epoch == self._epoch
        if not same_stream:
            self._cursors = {}
            self._arrived.clear()  # its sequences begin again
        elif not same_client:
            self._cursors.pop(CLIENT, None)
        # A stream that was put back to an older state gives the sequences after it a second time. Of a group that this
        # client is not in, or is in only once it has joined again, a cursor is worth nothing.
        kept = {scope: min(seq, cursors[scope]) for scope, seq in self._cursors.items() if scope in cursors}
        if kept != self._cursors:
            self._arrived.clear()
        self._cursors = kept
        self.client_id, self._epoch, self._resume = client_id, epoch, payload["resume"]
        self._floor = dict(self._cursors)
        self._replay = cursors
        self._missing = payload["replayed"]
        self._catch_up()
        recovered = first or (same_client and same_stream and payload["recovered"])
        return Welcome(client_id, first, same_client, recovered, payload["replayed"])

    def renew(self, resume: str) -> None:
        """Come back with this token from now on: the one before expires."""
        self._resume = resume

    def forget(self) -> None:
        """Come as a stranger next time: the server does not take what is remembered."""
        self._resume = None
        self._cursors = {}

    def is_new(self, frame: Frame) -> bool:
        """Whether a frame brings something new; it counts as seen from then on."""
        seq = frame.get("seq")
        if seq is None:
            return True
        scope = frame.get("group", CLIENT)
        # Not by the largest sequence: an event comes late when the server was told of a later one that was forged.
        new = seq > self._floor.get(scope, 0) and seq not in self._arrived
        if new:
            self._arrived[seq] = None
            if len(self._arrived) > REMEMBERED:
                self._arrived.popitem(last=False)
            if scope in self._cursors or len(self._cursors) < MOST_SCOPES:
                self._cursors[scope] = seq
        if self.replaying:
            self._missing -= 1
            self._catch_up()
        return new

    def _catch_up(self) -> None:
        # The welcome's cursors hold only behind its replay: taken earlier, a connection lost in between would cost
        # events.
        if self.replaying or self._replay is None:
            return
        for scope, seq in self._replay.items():
            self._cursors[scope] = max(self._cursors.get(scope, 0), seq)
        self._floor = dict(self._cursors)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        try:
            self.client_id, self._epoch, self._resume = saved["client_id"], saved["epoch"], saved["resume"]
            self._cursors |= {str(scope): int(seq) for scope, seq in saved["groups"].items()}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError("that is no saved session: give what Client.saved() returned") from error
