"""Whose word about a stream counts."""

from __future__ import annotations

from typing import Any

import pytest

from bus import quorum
from bus.quorum import Furthest, lacking

SECOND = 10**9


def info(leader: str | None, *ages: float, **replica: Any) -> dict[str, Any]:
    """What NATS says of a stream whose other servers were heard of so many seconds ago."""
    replicas = [
        {"name": f"n{number}", "active": int(age * SECOND), **replica} for number, age in enumerate(ages, start=2)
    ]
    return {"config": {}, "cluster": {"leader": leader, "replicas": replicas}}


@pytest.mark.parametrize(
    "said",
    [
        {"config": {}},
        {"config": {}, "cluster": {"leader": "n1"}},
        info("n1", 0.4, 0.9),
        info("n1", 0.4, 60),
        info("n1", 0, 0),
        info("n1", 1, 1, 60, 60),
    ],
    ids=["not clustered", "one replica", "all there", "one lost", "just chosen", "two of five lost"],
)
def test_a_leader_that_most_of_its_servers_have_answered_is_believed(said: dict[str, Any]) -> None:
    assert lacking(said) is None


def test_one_that_most_have_not_answered_is_not_since_there_may_be_another() -> None:
    assert lacking(info("n1", 4.1, 60)) == "has lost half of its servers or more: its leader n1 does not hear n2, n3"
    assert lacking(info("n1", 4.1)) is not None
    assert lacking(info("n1", 1, 1, offline=True)) is not None


def test_how_lately_they_must_have_answered_can_be_said() -> None:
    assert lacking(info("n1", 2.1, 3), within=4) is None
    assert lacking(info("n1", 2.1, 3), within=quorum.JUST_NOW) is not None


def test_nor_is_a_server_that_knows_no_leader() -> None:
    assert lacking(info(None, 1, 1)) == "has no leader; more than half of its servers must be up: n2, n3"


def test_who_knows_less_of_a_stream_than_was_seen_is_not_believed_unless_it_stays_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(quorum.time, "monotonic", lambda: now)
    furthest = Furthest()

    def ends_at(seq: int, epoch: str = "today") -> str | None:
        return furthest.lacking(epoch, seq, seen=furthest.seq)

    assert ends_at(7) is None
    asked = furthest.seq
    furthest.saw(9)
    furthest.saw(8)
    assert furthest.lacking("today", 8, seen=asked) is None  # it was so when it was asked
    assert ends_at(8) == "reached 9 and is said to end at 8: who says so leads it no more"
    assert ends_at(9) is None
    now += quorum.BELIEVED_AFTER
    assert ends_at(8) is not None
    now += quorum.BELIEVED_AFTER - 1
    assert ends_at(8) is not None
    now += 1
    assert ends_at(8) is None
    assert ends_at(8) is None
    assert ends_at(1, "tomorrow") is None
    assert ends_at(2, "tomorrow") is None
