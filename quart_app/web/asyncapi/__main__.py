"""Print the AsyncAPI document: `python -m quart_app.web.asyncapi`."""

from __future__ import annotations

import json
import sys

from quart_app.channel_set import our_channels
from quart_app.errors import ChannelDefinitionError
from quart_app.web.asyncapi.document import build


def main() -> int:
    """Print it. Returns the exit status: 1 when a channel is written in a way that cannot work."""
    try:
        channels = our_channels()
    except ChannelDefinitionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(build(channels), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
