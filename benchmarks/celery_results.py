"""Celery with a Redis result backend: a task that returns what it is given, under the settings of our workers.

celery -A benchmarks.celery_results worker
"""

from __future__ import annotations

from celery import Celery

from bus import Settings
from workers.config import create_celery, use_our_logging

TASK = "noop"


def with_results(settings: Settings) -> Celery:
    """Celery as our workers use it, which keeps results in the Redis that it takes its tasks from."""
    celery = create_celery(settings)
    celery.conf.update(result_backend=settings.redis_url, task_ignore_result=False, result_expires=600)
    return celery


settings = Settings.load()
app = with_results(settings)
use_our_logging(settings)


@app.task(name=TASK)
def noop(content: str) -> str:
    """Do nothing."""
    return content
