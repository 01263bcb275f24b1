"""Print the AsyncAPI document: `python -m quart_app.web.asyncapi`."""

from __future__ import annotations

import json
import sys

from bus import BusError, Settings
from quart_app.channel_set import our_channels
from quart_app.errors import ChannelDefinitionError
from quart_app.web.asyncapi.document import build
from workers.errors import JobDefinitionError
from workers.registry import discover_for


def main() -> int:
    """Print it. Returns the exit status: 1 when a setting, a channel or a job cannot work."""
    try:
        settings = Settings.load()
        channels, jobs = our_channels(settings.channels), discover_for(settings)
    except (BusError, ChannelDefinitionError, JobDefinitionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(build(channels, jobs), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
