"""Channel classes: routing by annotation, and mistakes refused when the class is made."""

from typing import Any, Literal

import pytest
from pydantic import create_model

from bus.messages import MOST_SCOPES, ClientMessage, Event, JobResult, Ping, Pong, Reply, SystemNotification
from quart_app.channel import Channel, channel, event_handler, ws_handler
from quart_app.channels.system import SystemChannel
from quart_app.errors import ChannelDefinitionError, Refused
from quart_app.identity.identity import Identity


class Say(ClientMessage):
    action: Literal["say"] = "say"
    payload: str


class Said(Reply):
    action: Literal["said"] = "said"
    payload: str


class Shown(Event):
    action: Literal["shown"] = "shown"
    payload: str


class Joining:
    """Stands in for a connection: remembers which groups it was let into."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.client_id = identity.client_id
        self.membership: Any = self
        self.joined: list[str] = []

    async def join(self, group: str, *, most: int) -> None:
        self.joined.append(group)


async def test_a_channel_decides_which_groups_a_client_may_join() -> None:
    class Open(SystemChannel):
        def may_join(self, identity: Identity, group: str) -> bool:
            return group.startswith("room-") or identity.operator

    alice = Identity("user-alice", user="alice", groups=("admins",))
    root = Identity("user-root", user="root", operator=True)
    services: Any = None
    for kind, identity, allowed in (
        (SystemChannel, Identity.anonymous(), {"admins", "room-1", "other"}),
        (SystemChannel, alice, {"admins"}),
        (SystemChannel, root, set()),
        (Open, alice, {"room-1"}),
        (Open, root, {"admins", "room-1", "other"}),
    ):
        connection: Any = Joining(identity)
        joined = kind(connection, services)
        for group in ("admins", "room-1", "other"):
            if group in allowed:
                await joined.join(group)
            else:
                with pytest.raises(Refused) as refused:
                    await joined.join(group)
                assert refused.value.kind == "not_allowed"
        assert set(connection.joined) == allowed


def test_messages_are_routed_by_the_annotated_type() -> None:
    @channel("/ws/echo/", name="echo")
    class Echo(Channel):
        passthrough_events = (SystemNotification,)

        @ws_handler
        async def anything(self, message: Say) -> Said | None:
            """Say it again.

            And again.
            """
            return Said(payload=message.payload)

        @event_handler(output_type=Said)
        async def shown(self, event: Shown) -> None:
            """Show it."""

    assert (Echo.path, Echo.name) == ("/ws/echo", "echo")
    say = Echo.receives["say"]
    assert (say.name, say.message, say.outputs) == ("anything", Say, (Said,))
    assert (say.summary, say.description) == ("Say it again.", "And again.")
    assert Echo.events["shown"].outputs == (Said,)
    assert Echo.events["system_notification"].method is None
    assert not Channel.receives


def test_a_subclass_inherits_and_may_add() -> None:
    class More(SystemChannel):
        @ws_handler
        async def say(self, message: Say) -> Said:
            return Said(payload=message.payload)

    assert set(More.receives) == set(SystemChannel.receives) | {"say"}
    assert set(More.events) == set(SystemChannel.events)


def test_two_handlers_of_one_action_are_refused() -> None:
    with pytest.raises(ChannelDefinitionError, match="'ping' twice, in one and two"):

        class Twice(Channel):
            @ws_handler
            async def one(self, message: Ping) -> Pong:
                return Pong()

            @ws_handler
            async def two(self, message: Ping) -> Pong:
                return Pong()


def test_an_event_handled_and_passed_through_is_refused() -> None:
    with pytest.raises(ChannelDefinitionError, match="'job_result' twice"):

        class Twice(Channel):
            passthrough_events = (JobResult,)

            @event_handler
            async def result(self, event: JobResult) -> JobResult:
                return event


@pytest.mark.parametrize("action", ["state", "frame", "close", "welcome", "error"])
def test_events_that_clients_would_take_for_something_else_are_refused(action: str) -> None:
    event = create_model("Stated", __base__=Event, action=(Literal[action], action))
    with pytest.raises(ChannelDefinitionError, match=f"Shows shows events of the action '{action}'"):
        type("Shows", (Channel,), {"passthrough_events": (event,)})


def test_handlers_that_cannot_be_routed_are_refused() -> None:
    with pytest.raises(ChannelDefinitionError, match="async def"):

        class NotAsync(Channel):
            @ws_handler  # type: ignore[type-var]
            def ping(self, message: Ping) -> Pong:
                return Pong()

    with pytest.raises(ChannelDefinitionError, match="subclass of ClientMessage"):

        class AnEvent(Channel):
            @ws_handler
            async def ping(self, message: JobResult) -> None: ...

    with pytest.raises(ChannelDefinitionError, match="subclass of Event"):

        class NoAnnotation(Channel):
            @event_handler
            async def ping(self, event) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(ChannelDefinitionError, match="not a message"):

        class ReturnsText(Channel):
            @ws_handler
            async def ping(self, message: Ping) -> str:  # type: ignore[type-var]
                return "pong"

    with pytest.raises(ChannelDefinitionError, match="begin with"):
        channel("ws", name="x")


@pytest.mark.parametrize(
    ("group", "reason"), [("client", "the scope of a client's own events"), ("a.b", "'a.b' is no group")]
)
def test_a_group_that_cannot_be_told_from_others_is_refused(group: str, reason: str) -> None:
    with pytest.raises(ChannelDefinitionError, match=reason):

        class Confusing(Channel):
            groups = ("fine", group)


def test_more_groups_than_a_client_can_come_back_to_are_refused() -> None:
    class Most(Channel):
        groups = ("one", "two")
        most_groups = MOST_SCOPES - 3

    with pytest.raises(ChannelDefinitionError, match=r"in 64 groups, 2 of its own and 62 more \(most_groups\): 63 are"):

        class OneMore(Most):
            most_groups = Most.most_groups + 1


@pytest.mark.parametrize("group", ["client", "a.b", ""])
async def test_a_group_that_cannot_be_told_from_others_is_not_joined(group: str) -> None:
    nothing: Any = None
    with pytest.raises(Refused) as refused:
        await Channel(nothing, nothing).join(group)
    assert refused.value.kind == "bad_group"
