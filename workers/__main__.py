"""`python -P -m workers [OPTIONS]`: `celery worker` on our app, as `busctl worker` starts it.

Unlike `celery -A workers worker` it does not look for the app in the folder where it is typed, which may have a package
of that name.
"""

from __future__ import annotations

import sys

from celery.__main__ import main

if __name__ == "__main__":
    import workers.celery  # noqa: F401 - before Celery puts that folder first on the path

    sys.argv[:] = ["celery", "--quiet", "-A", "workers", "worker", *sys.argv[1:]]
    main()
