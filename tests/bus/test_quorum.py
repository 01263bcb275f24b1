"""Whose word about a stream counts."""

from __future__ import annotations

from typing import Any

import pytest

from bus.quorum import lacking

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


def test_nor_is_a_server_that_knows_no_leader() -> None:
    assert lacking(info(None, 1, 1)) == "has no leader; more than half of its servers must be up: n2, n3"
