"""Run the installed command as a person would, with a deadline."""

from __future__ import annotations

import os
import subprocess

from testbed.servers import BIN

DEADLINE = 60.0
NO_NATS = "nats://127.0.0.1:1"


def busctl(*arguments: str | bytes, program: str = "busctl", **env: str) -> subprocess.CompletedProcess[str]:
    """The command's exit status and what it printed. `env` is added to a plain environment with no terminal."""
    return subprocess.run(
        [BIN / program, *arguments],
        env=os.environ | {"NATS_URL": NO_NATS, "REDIS_URL": "redis://127.0.0.1:1/0", "COLUMNS": "200"} | env,
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )
