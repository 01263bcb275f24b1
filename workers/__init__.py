"""Celery workers: they turn queued jobs into results.

celery -A workers worker
"""

from bus import Settings
from workers.config import create_celery, use_our_logging
from workers.execute import register
from workers.reconcile import keep_reconciling
from workers.registry import discover

settings = Settings.load()
app = create_celery(settings)
use_our_logging(settings)
jobs = discover()
keep_reconciling(app, register(app, jobs, settings), jobs, settings)

__all__ = ["app"]
