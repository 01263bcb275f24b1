"""Print the AsyncAPI document: `python -m quart_app.asyncapi`."""

from __future__ import annotations

import json

from quart_app.asyncapi.document import build
from quart_app.channels import CHANNELS

print(json.dumps(build(CHANNELS), indent=2))
