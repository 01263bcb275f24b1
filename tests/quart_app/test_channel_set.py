"""Channels of one app: what two of them would do to each other is refused before anything starts."""

from __future__ import annotations

from typing import Literal

import pytest

from bus import Settings
from bus.messages import Event, SystemNotification
from quart_app.app import create_app
from quart_app.channel import Channel, channel
from quart_app.channel_set import ChannelSet
from quart_app.channels.system import SystemChannel
from quart_app.errors import ChannelDefinitionError


class OtherNotification(Event):
    action: Literal["system_notification"] = "system_notification"
    payload: int


@channel("/ws/news", name="news")
class News(Channel):
    """Shows what is announced."""

    groups = ("news",)
    passthrough_events = (SystemNotification,)


@channel("/ws/numbers", name="numbers")
class Numbers(Channel):
    """Takes announcements for numbers."""

    passthrough_events = (OtherNotification,)


@channel("/ws/news/", name="more")
class SamePath(Channel):
    """Has the address of another."""


@channel("/ws/more", name="news")
class SameName(Channel):
    """Has the name of another."""


@channel("/ws/second", name="second")
class SecondSystem(SystemChannel):
    """Does what the system channel does."""


class NoAddress(Channel):
    """Is not decorated."""


def test_channels_that_share_events_and_have_groups_of_their_own_go_together() -> None:
    channels = ChannelSet([SystemChannel, News])
    assert list(channels) == [SystemChannel, News]
    assert channels.events["system_notification"] is SystemNotification
    assert channels.groups == {"system", "news"}


@pytest.mark.parametrize(
    ("channels", "reason"),
    [
        (
            [News, Numbers],
            r"are .*\.SystemNotification to one .*\.OtherNotification to .*\.Numbers: use one",
        ),
        ([News, SamePath], r"\.News and .*\.SamePath have the same path '/ws/news'"),
        ([News, SameName], r"\.News and .*\.SameName have the same name 'news'"),
        ([NoAddress], r"\.NoAddress has no address: decorate it with @channel"),
    ],
)
def test_channels_that_would_collide_are_refused(channels: list[type[Channel]], reason: str) -> None:
    with pytest.raises(ChannelDefinitionError, match=reason):
        ChannelSet(channels)


def test_the_page_cannot_speak_to_two_channels() -> None:
    with pytest.raises(ChannelDefinitionError, match=r"/system/ can use one SystemChannel only: serve one of .*Second"):
        create_app(Settings.load(), [SystemChannel, SecondSystem])


async def test_the_page_speaks_to_the_system_channel_that_is_served() -> None:
    html = await _get("/system/", SecondSystem)
    assert html is not None
    assert 'data-socket="/ws/second"' in html


async def test_without_a_system_channel_there_is_no_page_and_no_link_to_it() -> None:
    assert await _get("/system/", News) is None
    docs = await _get("/asyncapi/docs/", News)
    assert docs is not None
    assert 'href="/system/"' not in docs


async def _get(path: str, *channels: type[Channel]) -> str | None:
    app = create_app(Settings.load(), channels)
    response = await app.test_client().get(path)
    return str(await response.get_data(as_text=True)) if response.status_code == 200 else None
