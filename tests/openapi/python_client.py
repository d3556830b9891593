"""Submits a job with the generated client, waits for it and prints what came of it: ADDRESS."""

import json
import sys
import time

from imagemill_client import AuthenticatedClient
from imagemill_client.api.jobs import get_job, submit_job
from imagemill_client.models import JobBody, JobSubmission

client = AuthenticatedClient(base_url=sys.argv[1], token="test", raise_on_unexpected_status=True)
body = JobSubmission.from_dict(
    {
        "recipe": "textToImage",
        "input": {
            "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
            "prompt": "a lighthouse",
            "width": 64,
            "height": 64,
            "steps": 4,
        },
    }
)
job = submit_job.sync(client=client, body=body)
assert isinstance(job, JobBody), job
while job.finished_at is None:
    time.sleep(0.05)
    job = get_job.sync(job.id, client=client)
    assert isinstance(job, JobBody), job
print(
    json.dumps(
        {
            "id": str(job.id),
            "status": str(job.status),
            "seconds": (job.finished_at - job.created_at).total_seconds(),
            "width": job.artifacts[0].width,
            "url": job.artifacts[0].url,
        }
    )
)
