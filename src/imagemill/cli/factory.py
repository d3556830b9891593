"""What ``--reload`` starts again and again: import strings for uvicorn; settings from the environment."""

import time
from typing import Any


def serve() -> Any:
    return _application(scheduler=True, worker=True)


def api() -> Any:
    return _application(scheduler=False, worker=False)


def _application(*, scheduler: bool, worker: bool) -> Any:
    import logging

    from imagemill import logs
    from imagemill.bootstrap import Mill, Roles, application
    from imagemill.cli.loading import load_settings

    began = time.perf_counter()
    settings = load_settings()
    logs.configure(settings.log_level, settings.log_format)
    app = application(Mill(settings, Roles(api=True, scheduler=scheduler, worker=worker)))
    log = logging.getLogger("imagemill.cli")
    log.info("loaded", extra={"ms": round((time.perf_counter() - began) * 1000)})
    return app
