"""Client of Imagemill servers: `Imagemill` for synchronous code, `AsyncImagemill` for asyncio."""

from imagemill_client.aio import AsyncImagemill
from imagemill_client.client import Imagemill
from imagemill_client.errors import ApiError, ImagemillError, JobNotSuccessful, ServerUnreachable
from imagemill_client.models import (
    ArtifactBody,
    Estimate,
    EventBody,
    JobBody,
    JobPage,
    Problem,
    ProgressBody,
    Upload,
)

__all__ = [
    "ApiError",
    "ArtifactBody",
    "AsyncImagemill",
    "Estimate",
    "EventBody",
    "Imagemill",
    "ImagemillError",
    "JobBody",
    "JobNotSuccessful",
    "JobPage",
    "Problem",
    "ProgressBody",
    "ServerUnreachable",
    "Upload",
]
