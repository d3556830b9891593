"""A data folder that the code before the present layout of modules wrote, taken over by ours."""

from pathlib import Path

import pytest

from tests.cli.programs import image_job, run, running
from tests.rolling.revisions import extract, last_code_with
from tests.service.build import wait_until

FORMER = "src/imagemill/store/store.py"
"""A module of the former layout: the newest commit that has it is the last one of that layout."""
SETTINGS = {
    "IMAGEMILL_SIMULATOR__STEP_MS": "0",
    # The lists that this check needed then are no dependency any more.
    "IMAGEMILL_SAFETY__CHECKS": '["words"]',
    # Names that were merged into others, or became constants, since.
    "IMAGEMILL_LIBRARY__WIDTH": "512",
    "IMAGEMILL_LIMIT__HEAD_S": "12",
}


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extract(last_code_with(FORMER), tmp_path_factory.mktemp("former layout"))


def test_jobs_pictures_and_settings_outlive_the_upgrade(former: Path, tmp_path: Path):
    before = {**SETTINGS, "PYTHONPATH": str(former)}
    with running("serve", "--port", "0", cwd=tmp_path, fresh=True, **before) as old:
        with old.client() as client:
            posted = client.post("/v1/consumer/jobs", json=image_job(quantity=2)).raise_for_status()
            ids = [job["jobId"] for job in posted.json()["jobs"]]
            paths = [f"/v1/consumer/jobs/{id_}" for id_ in ids]

            def done() -> bool:
                jobs = [client.get(path).raise_for_status().json() for path in paths]
                return all(job["lastEvent"]["type"] == "Succeeded" for job in jobs)

            wait_until(done, 60)
            kept = [client.get(path).json()["result"] for path in paths]
        old.signal()
        assert old.ended(30) == 0

    with running("serve", "--port", "0", cwd=tmp_path, fresh=True, **SETTINGS) as new, new.client() as client:
        for path, result in zip(paths, kept, strict=True):
            job = client.get(path).raise_for_status().json()
            assert job["lastEvent"]["type"] == "Succeeded"
            assert job["result"]["blobKey"] == result["blobKey"]
            assert client.get(job["result"]["blobUrl"]).raise_for_status().content
            # The key that signs addresses is the former one, too.
            assert (
                client.get(result["blobUrl"].replace(_origin(result["blobUrl"]), new.url)).status_code == 200
            )
        again = (
            client.post("/v1/consumer/jobs", json=image_job()).raise_for_status().json()["jobs"][0]["jobId"]
        )
        wait_until(
            lambda: client.get(f"/v1/consumer/jobs/{again}").json()["lastEvent"]["type"] == "Succeeded", 60
        )
    shown = run("settings", cwd=tmp_path, **SETTINGS)
    assert shown.returncode == 0, shown.stderr
    assert "512" in shown.stdout
    assert "LIMIT__HEAD_S" in shown.stderr


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])
