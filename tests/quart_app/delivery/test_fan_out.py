"""The fan-out: one batch for what a turn of the loop brings, handed out so that others get their turns."""

from __future__ import annotations

import asyncio

import pytest

from bus import SystemNotification
from quart_app.delivery.batch import Encoded
from quart_app.delivery.fan_out import DELIVERIES_IN_A_ROW, FanOut, Member
from quart_app.metrics import Metrics
from tests.quart_app.member import RecordingMember


class Group:
    """Recipients."""

    def __init__(self, scope: str, *members: RecordingMember) -> None:
        self.scope = scope
        self.members: dict[Member, None] = dict.fromkeys(members)


def news(seq: int) -> Encoded:
    return Encoded.of(seq, SystemNotification(payload=f"news {seq}", seq=seq))


async def test_what_a_turn_brings_is_one_batch() -> None:
    member = RecordingMember()
    group, fan_out = Group("system", member), FanOut(Metrics())
    for seq in (1, 2, 3):
        fan_out.add(group, news(seq))
    assert member.batches == []
    await asyncio.sleep(0)
    assert member.seqs == [(1, 3)]


async def test_a_batch_is_over_when_it_is_handed_out() -> None:
    member = RecordingMember()
    group, fan_out = Group("system", member), FanOut(Metrics())
    for seq in (1, 2):
        fan_out.add(group, news(seq))
        await asyncio.sleep(0)
    assert member.seqs == [(1, 1), (2, 2)]


async def test_all_members_get_the_same_batch_and_it_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[object] = []
    encode = SystemNotification.encode

    def counted(event: SystemNotification) -> str:
        encoded.append(event)
        return encode(event)

    monkeypatch.setattr(SystemNotification, "encode", counted)
    members = [RecordingMember() for _ in range(5)]
    FanOut(Metrics()).add(Group("system", *members), news(1))
    await asyncio.sleep(0)
    assert len({id(member.batches[0]) for member in members}) == 1
    assert len(encoded) == 1


async def test_scopes_are_served_in_the_order_in_which_their_batches_began() -> None:
    order: list[str] = []

    class Named(RecordingMember):
        def deliver(self, batch: object) -> None:
            order.append(self.client_id)

    ann, bob = Group("client", Named("ann")), Group("client", Named("bob"))
    fan_out = FanOut(Metrics())
    for to in (bob, ann, bob):
        fan_out.add(to, news(1))
    await asyncio.sleep(0)
    assert order == ["bob", "ann"]


async def test_who_has_left_by_then_gets_nothing() -> None:
    here, gone = RecordingMember(), RecordingMember()
    group, fan_out = Group("system", here, gone), FanOut(Metrics())
    fan_out.add(group, news(1))
    del group.members[gone]
    await asyncio.sleep(0)
    assert (len(here.batches), len(gone.batches)) == (1, 0)


async def test_other_tasks_get_a_turn_between_so_many_deliveries() -> None:
    members = [RecordingMember() for _ in range(2 * DELIVERIES_IN_A_ROW + 1)]
    FanOut(Metrics()).add(Group("system", *members), news(1))
    served = []
    for _ in range(3):
        await asyncio.sleep(0)
        served.append(sum(len(member.batches) for member in members))
    assert served == [DELIVERIES_IN_A_ROW, 2 * DELIVERIES_IN_A_ROW, 2 * DELIVERIES_IN_A_ROW + 1]


async def test_what_comes_while_a_batch_is_handed_out_follows_it() -> None:
    members = [RecordingMember() for _ in range(DELIVERIES_IN_A_ROW + 1)]
    group, fan_out = Group("system", *members), FanOut(Metrics())
    fan_out.add(group, news(1))
    await asyncio.sleep(0)
    fan_out.add(group, news(2))
    fan_out.add(group, news(3))
    for _ in range(3):
        await asyncio.sleep(0)
    assert {tuple(member.seqs) for member in members} == {((1, 1), (2, 3))}


async def test_events_and_deliveries_are_counted() -> None:
    metrics = Metrics()
    group, fan_out = Group("system", RecordingMember(), RecordingMember()), FanOut(metrics)
    for seq in (1, 2, 3):
        fan_out.add(group, news(seq))
    await asyncio.sleep(0)
    text = metrics.text().decode()
    assert "busctl_events_total 3.0" in text
    assert "busctl_deliveries_total 6.0" in text
