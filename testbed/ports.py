"""Ports for servers of tests: those of one process of tests are no other's."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import random
import socket
from collections.abc import Iterator

PORTS = range(10240, 32768)
"""Where servers listen: below the range from which Linux picks ports for outgoing connections."""
BLOCK = 256
"""Ports that one process takes for its servers; the first of them says whose they are."""

NO_IPV6 = "no IPv6 on this machine; give its loopback device the address ::1"


@functools.cache
def own_ports() -> Iterator[int]:
    """The ports of a block that no other process has, one after the other and round again.

    The block is this process's as long as it lives, for it keeps the block's first port bound. So no two processes
    that run tests at the same time can choose the same port, however long their servers take to listen.
    """
    blocks = [range(first, first + BLOCK) for first in range(PORTS.start, PORTS.stop, BLOCK)]
    for block in random.sample(blocks, len(blocks)):
        owner = socket.socket()
        try:
            owner.bind(("127.0.0.1", block.start))
        except OSError:
            owner.close()
            continue
        atexit.register(owner.close)
        return itertools.cycle(block[1:])
    raise RuntimeError("no block of ports is free: end the test runs that are still there")


def free_port() -> int:
    """A port on which nothing listens, and which no other process chooses for its servers."""
    for port in itertools.islice(own_ports(), BLOCK):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("every port of this process's block is in use")


@functools.cache
def has_ipv6() -> bool:
    """Whether this machine has ::1."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False
