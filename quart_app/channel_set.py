"""The channels that one app serves, none of which gets in another's way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from bus import Settings
from bus.messages import Message
from quart_app.channel import Channel
from quart_app.errors import ChannelDefinitionError
from workers.own_code import CHANNELS as ENTRY_POINTS
from workers.own_code import named


class ChannelSet:
    """Channels that can be served together.

    Args:
        channels: their classes.

    Raises:
        ChannelDefinitionError: one has no address, two have the same address or name, or two take events of one action
            as different messages, of which only one could be meant.
    """

    def __init__(self, channels: Iterable[type[Channel]]) -> None:
        self._channels = tuple(channels)
        self.events: dict[str, type[Message]] = {}
        """Every event class that one of them takes, by action."""
        self.groups = {group for channel in self._channels for group in channel.groups}
        """Every group whose events all connections of one of them get."""
        taken: dict[tuple[str, str], type[Channel]] = {}
        for channel in self._channels:
            if not hasattr(channel, "path"):
                raise ChannelDefinitionError(
                    f"{_name(channel)} has no address: decorate it with @channel('/ws/…', name='…')"
                )
            for kind, value in (("path", channel.path), ("name", channel.name)):
                if (other := taken.setdefault((kind, value), channel)) is not channel:
                    raise ChannelDefinitionError(
                        f"{_name(other)} and {_name(channel)} have the same {kind} {value!r}: change one of them"
                    )
            for action, operation in channel.events.items():
                known = self.events.setdefault(action, operation.message)
                if known is not operation.message:
                    raise ChannelDefinitionError(
                        f"events of action {action!r} are {_name(known)} to one channel and "
                        f"{_name(operation.message)} to {_name(channel)}: use one class, or another action"
                    )

    def __iter__(self) -> Iterator[type[Channel]]:
        return iter(self._channels)

    def one_of(self, kind: type[Channel], *, needed_by: str) -> type[Channel] | None:
        """The channel that is `kind` or derived from it; None when there is none.

        Args:
            kind: a channel class.
            needed_by: who can make use of one only, for the error's text.

        Raises:
            ChannelDefinitionError: there are several.
        """
        found = [channel for channel in self._channels if issubclass(channel, kind)]
        if len(found) > 1:
            names = " and ".join(map(_name, found))
            raise ChannelDefinitionError(f"{needed_by} can use one {kind.__name__} only: serve one of {names}")
        return found[0] if found else None


def _name(thing: type) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def console_channel(settings: Settings) -> type[Channel] | None:
    """The operator's console, if there is anybody who may use it."""
    if settings.console == "off" or (settings.console == "operators" and settings.auth == "none"):
        return None
    from quart_app.channels.console import ConsoleChannel

    return ConsoleChannel


def our_channels(modules: Iterable[str] = ()) -> ChannelSet:
    """The channels of this app, of modules of one's own and of installed packages.

    They are imported here, so that one that cannot work is said as orderly as a bad setting. Where one is derived from
    another, such as from `SystemChannel`, it takes its place.

    Args:
        modules: names of modules and packages with channels, as `BUS_CHANNELS` has them.

    Raises:
        ChannelDefinitionError: a module cannot be imported or has no channel, a channel is written in a way that cannot
            work, or two cannot be served together.
    """
    from quart_app.channels import CHANNELS

    found: dict[type[Channel], None] = dict.fromkeys(CHANNELS)
    for source, targets in named("BUS_CHANNELS", modules, ENTRY_POINTS, ChannelDefinitionError):
        channels = [channel for target in targets for channel in _channels_in(target)]
        if not channels:
            raise ChannelDefinitionError(f"{source} is neither a @channel class nor a module with one")
        found.update(dict.fromkeys(channels))
    return ChannelSet(one for one in found if not any(one in other.__mro__[1:] for other in found))


def _channels_in(target: Any) -> Iterator[type[Channel]]:
    """Those that a project decorated itself, not those that it imports to derive its own from."""
    for value in vars(target).values() if isinstance(target, ModuleType) else (target,):
        decorated = isinstance(value, type) and issubclass(value, Channel) and "path" in vars(value)
        if decorated and not value.__module__.startswith("quart_app."):
            yield value
