"""The arguments of handlers. They are apart from `imagemill.api.base`, which loads without FastAPI."""

from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from imagemill.api.base import Services
from imagemill.web.blobs import ArtifactFiles


async def _services(connection: HTTPConnection) -> Services:
    return connection.app.state.services


ServicesDep = Annotated[Services, Depends(_services)]
"""The services of the process, for a handler's signature."""


async def _files(connection: HTTPConnection) -> ArtifactFiles:
    return connection.app.state.files


FilesDep = Annotated[ArtifactFiles, Depends(_files)]
"""The answers with files of jobs, for a handler's signature."""


def context(name: str) -> Any:
    """Return the dependency that gives a handler the ``context`` of the module of this name."""

    async def find(connection: HTTPConnection) -> Any:
        return connection.app.state.contexts[name]

    return Depends(find)
