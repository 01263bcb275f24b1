"""What proxies say of a request: `X-Forwarded-For`, `-Proto` and `-Host`, or `Forwarded` (RFC 7239).

Anybody can send such a header. A proxy adds itself on the right, so that a list is believed from the right, for as long
as the one who added the entry is trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bus.networks import address

MOST_HOPS = 32
"""Entries that are read, from the right; no request has come through more proxies."""
LONGEST = 4096
"""Characters of a header that are looked at. A longer one says nothing."""

_VALUE = r'(?P<value>[!#$%&\'*+.^_`|~0-9A-Za-z-]+|"(?:[^"\\]|\\.)*")'
_PAIR = re.compile(rf"\s*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)={_VALUE}\s*(?P<end>[;,]|$)")
_NODE = re.compile(r"\[(?P<ipv6>[0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|(?P<ipv4>[0-9.]+)(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Hop:
    """What one proxy says of who asked it: each as it stands there, None when it does not say."""

    client: str | None = None
    scheme: str | None = None
    host: str | None = None


def x_forwarded(clients: Iterable[str], schemes: Iterable[str], hosts: Iterable[str]) -> list[Hop]:
    """The hops of the three `X-Forwarded` headers, the nearest proxy first.

    Args:
        clients, schemes, hosts: the values of each header, in the order in which they stand. Where a list is shorter
            than that of the clients, as when proxies overwrite it, its leftmost entry is for all that are farther away.
    """
    split = [_entries(values) for values in (clients, schemes, hosts)]
    if not any(split):
        return []
    count = max(1, len(split[0]))
    return [Hop(*(_at(entries, number) for entries in split)) for number in range(count)]


def forwarded(values: Iterable[str]) -> list[Hop]:
    """The hops of `Forwarded`, the nearest proxy first; none when it is not as RFC 7239 section 4 has it."""
    text = ",".join(values)
    hops: list[dict[str, str]] = [{}]
    position = 0
    if len(text) > LONGEST:
        return []
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is None:
            return []
        value = pair["value"]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        hops[-1][pair["name"].lower()] = value
        if pair["end"] == ",":
            hops.append({})
        position = pair.end()
    return [Hop(hop.get("for"), hop.get("proto"), hop.get("host")) for hop in reversed(hops) if hop][:MOST_HOPS]


def node(text: str | None) -> str | None:
    """The address in an entry, whose port is left out; None for what is none, such as `unknown`."""
    if text is None:
        return None
    found = _NODE.fullmatch(text)
    plain = (found["ipv6"] or found["ipv4"]) if found is not None else text
    read = address(plain) if "%" not in plain else None
    return str(read) if read is not None else None


def _entries(values: Iterable[str]) -> list[str]:
    text = ",".join(values)
    if len(text) > LONGEST:
        return []
    return [part.strip() for part in text.split(",")][: -MOST_HOPS - 1 : -1] if text else []


def _at(entries: list[str], number: int) -> str | None:
    return entries[min(number, len(entries) - 1)] if entries else None
