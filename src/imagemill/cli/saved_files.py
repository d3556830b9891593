"""Saving the files of a finished job."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imagemill.cli.client import Client
from imagemill.cli.output import CliError

_DOWNLOAD_TIMEOUT_S = 300.0
"""Videos are large."""


def save_files(client: Client, job: Mapping[str, Any], folder: Path) -> list[str]:
    """Save a job's files, named after the job so that a later run overwrites nothing; return their paths."""
    return [
        save_file(client, artifact, folder / f"{job['id']}-{number}.{extension(artifact)}")
        for number, artifact in enumerate(job["artifacts"], 1)
    ]


def extension(artifact: Mapping[str, Any]) -> str:
    return str(artifact["url"]).partition("?")[0].rpartition(".")[2]


def save_file(client: Client, artifact: Mapping[str, Any], path: Path) -> str:
    """Fetch a file by its signed URL; return its path. Raises `CliError`."""
    import httpx2

    url = str(artifact["url"])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with client.http.stream("GET", url, timeout=_DOWNLOAD_TIMEOUT_S) as response, path.open("wb") as file:
            if not response.is_success:
                raise CliError(f"{url.partition('?')[0]} answered {response.status_code}")
            for chunk in response.iter_bytes():
                file.write(chunk)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}") from error
    except httpx2.HTTPError as error:
        raise client.connection_error(error) from error
    return str(path)
