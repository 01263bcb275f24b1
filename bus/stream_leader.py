"""What the leader of the EVENTS stream says that it holds, as far as it can be believed (`bus.quorum`)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from bus import subjects
from bus.elsewhere import Question
from bus.errors import BusUnavailable, NoQuorum, NoStream
from bus.jetstream import STREAM_NOT_FOUND, ApiError, JetStream, read_answer
from bus.quorum import ELECTION, JUST_NOW, Furthest, lacking
from bus.stream_config import CORRECTED, epoch, keeps_guarantees

MOST_HOLES = 10_000
"""Events that are gone from the middle of the stream, up to which NATS is asked which ones."""
LOOKS, LOOK_AGAIN = 5, 0.5
"""How often it is looked whether a leader that has answered is still followed, and seconds between two looks."""


def _can_be_used(answer: bytes) -> bool:
    """Whether an answer about the stream comes from a leader that most of its servers follow."""
    try:
        return lacking(read_answer(answer)) is None
    except (ApiError, ValueError):
        return False


STREAM_QUESTION = Question(f"$JS.API.STREAM.INFO.{subjects.STREAM}", _can_be_used)
"""Whether the stream can be used at a server."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """What the stream holds: its epoch, and the sequences of its oldest and newest event.

    Of an empty stream `first_seq` is one more than `last_seq`. Another epoch means that the stream was made anew, or
    put back from a backup, and sequences from before mean nothing. `last_hole` is the largest sequence between the two
    whose event is gone, however that came; 0 when there is none, and `last_seq` when there are too many to tell.
    `last_at` is when the newest event was stored, as NATS writes it.
    """

    epoch: str
    first_seq: int
    last_seq: int
    last_hole: int = 0
    last_at: str = ""


class StreamLeader:
    """Asks whoever leads the stream.

    Args:
        jetstream: by which it is asked.
        replicated: whether the stream has replicas, until it was asked.
    """

    def __init__(self, jetstream: JetStream, *, replicated: bool) -> None:
        self.replicated = replicated
        """Whether the stream has replicas, as far as is known."""
        self.republisher = ""
        """Who republishes what is stored, at the last `state`: which server leads the stream and since when, if it has
        replicas, and when its configuration was corrected last."""
        self.keeps_guarantees = True
        """Whether the stream could be used as it was, at the last `state`."""
        self._jetstream = jetstream
        self._furthest = Furthest()
        self._holes = ("", 0, 0)
        """For what state `_last_hole` is known: events go and do not come back, so the same ones are gone in it."""
        self._last_hole = 0

    def saw(self, seq: int) -> None:
        """The stream has an event with this sequence."""
        self._furthest.saw(seq)

    async def state(self, *, within: float = ELECTION) -> StreamState:
        """What the stream holds now.

        Args:
            within: seconds in which its leader must have heard of most of its servers.

        Raises:
            NoQuorum: who answers cannot know.
            NoStream, BusUnavailable: as for `ask`.
        """
        seen = self._furthest.seq
        answer = await self.ask(within)
        holes = _holes(answer)
        if 0 < holes[2] <= MOST_HOLES and holes != self._holes:
            answer = await self.ask(within, deleted_details=True)
            self._holes = _holes(answer)
            self._last_hole = max(answer["state"].get("deleted") or [answer["state"]["last_seq"]])
        state = answer["state"]
        config = answer["config"]
        self.replicated = config.get("num_replicas", 1) > 1
        lack = self._furthest.lacking(epoch(answer), state["last_seq"], seen=seen)
        if lack is not None and self.replicated:
            raise NoQuorum(f"the stream {subjects.STREAM} {lack}")
        cluster = answer.get("cluster") or {}
        leader = f"{cluster.get('leader', '')} {cluster.get('leader_since', '')}" if self.replicated else ""
        self.republisher = f"{leader} {(config.get('metadata') or {}).get(CORRECTED, '')}"
        self.keeps_guarantees = keeps_guarantees(config)
        last_hole = 0 if not holes[2] else self._last_hole if holes[2] <= MOST_HOLES else state["last_seq"]
        first_seq, last_seq = state["first_seq"] or state["last_seq"] + 1, state["last_seq"]
        return StreamState(epoch(answer), first_seq, last_seq, last_hole, state["last_ts"])

    async def require_followed(self) -> None:
        """Make sure that the leader heard of most of its servers just now, so that what it said before was the latest.

        Raises:
            NoQuorum: it did not, however often it was asked.
            NoStream, BusUnavailable: as for `ask`.
        """
        for looks in range(1, LOOKS + 1):
            try:
                await self.state(within=JUST_NOW)
            except NoQuorum:
                if looks == LOOKS:
                    raise
                await asyncio.sleep(LOOK_AGAIN)
            else:
                return

    async def ask(self, within: float = ELECTION, **details: object) -> dict[str, Any]:
        """What NATS says of the stream.

        Args:
            within: as for `state`.
            details: what else is wanted, as `$JS.API.STREAM.INFO` has it.

        Raises:
            NoQuorum: most of its servers do not follow who answers.
            NoStream: there is none.
            BusUnavailable: NATS is away, or silent past `append_timeout` (`maybe_done`).
        """
        try:
            answer = await self._jetstream.info(**details)
        except ApiError as error:
            kind = NoStream if error.code == STREAM_NOT_FOUND else BusUnavailable
            raise kind(f"the stream {subjects.STREAM} cannot be read: {error}") from error
        if (lack := lacking(answer, within=within)) is not None:
            raise NoQuorum(f"the stream {subjects.STREAM} {lack}")
        return answer


def _holes(answer: dict[str, Any]) -> tuple[str, int, int]:
    """Which stream, its first event, and how many are gone between that and the last one."""
    state = answer["state"]
    first, count = state["first_seq"], state["messages"]
    return epoch(answer), first, state["last_seq"] - first + 1 - count if count else 0
