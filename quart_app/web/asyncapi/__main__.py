"""Print the AsyncAPI document: `python -m quart_app.web.asyncapi`."""

from __future__ import annotations

import json
import sys

from quart_app.channel_set import our_channels
from quart_app.errors import ChannelDefinitionError
from quart_app.web.asyncapi.document import build
from workers.errors import JobDefinitionError
from workers.registry import discover


def main() -> int:
    """Print it. Returns the exit status: 1 when a channel or a job is written in a way that cannot work."""
    try:
        channels, jobs = our_channels(), discover()
    except (ChannelDefinitionError, JobDefinitionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(build(channels, jobs), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
