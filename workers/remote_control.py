"""What of Celery's remote control a worker obeys.

Whoever may publish to Redis can send it commands. By default a worker answers questions (`celery inspect`) and cancels
jobs (`revoke`, `terminate`); it does not let itself be stopped or changed, which its host does by signals and options.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from celery.signals import worker_init
from celery.worker.control import Panel

from bus import Settings

REFUSED = (
    "shutdown",
    "pool_restart",
    "pool_grow",
    "pool_shrink",
    "autoscale",
    "add_consumer",
    "cancel_consumer",
    "rate_limit",
    "time_limit",
)
"""Commands that stop a worker, or change what it does for every job."""

log = structlog.get_logger(__name__)


def restrict(settings: Settings) -> None:
    """Have the worker that starts in this process refuse these commands, unless the settings say otherwise."""
    if settings.celery_remote_control:
        return

    def refuse_all(**_: object) -> None:
        Panel.data.update((name, _refusal(name)) for name in REFUSED)

    worker_init.connect(refuse_all, weak=False)


def _refusal(name: str) -> Callable[..., dict[str, str]]:
    def refuse(state: Any, **_: object) -> dict[str, str]:
        log.warning("refused a command of Celery's remote control", command=name)
        return {"error": f"{name} is refused: set BUS_CELERY_REMOTE_CONTROL=true for this worker to obey it"}

    return refuse
