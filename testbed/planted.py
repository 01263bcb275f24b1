"""Words that tests put where secrets and clients' texts are, and that no log may have.

The logs of every process of `testbed.servers` are searched for them when the last test is over.
"""

from __future__ import annotations

PLANTED = "pl4nted"
"""Part of all of them."""
SECRET = f"{PLANTED}-secret-0123456789abcdef0123456789abcdef"
"""Long enough for BUS_SECRET."""
CONTENT = f"{PLANTED} content"
