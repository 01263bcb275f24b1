"""Celery workers: they turn queued jobs into results.

busctl worker
celery -A workers worker
"""
