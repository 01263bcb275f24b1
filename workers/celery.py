"""The Celery app of the workers, which `celery -A workers` finds by this module's name.

The only module whose import makes one. When it cannot be made, the import ends the process with exit status 1 and one
line on standard error: Celery itself would print a traceback, or say that there is no app.
"""

from bus import BusError, Settings, traces
from workers.beside import run_beside
from workers.config import create_celery, use_our_logging
from workers.errors import JobDefinitionError
from workers.hangup import heed_hangup
from workers.registry import discover_for
from workers.remote_control import restrict
from workers.tasks import register

try:
    settings = Settings.load()
    jobs = discover_for(settings)
    traces.require(settings)
except (BusError, JobDefinitionError) as error:
    raise SystemExit(f"error: {error}") from None

app = create_celery(settings)
use_our_logging(settings)
restrict(settings)
heed_hangup(app)
run_beside(app, register(app, jobs, settings), jobs, settings)

__all__ = ["app"]
