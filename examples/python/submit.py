"""Submit a job in Civitai's v1 format, poll until it is done, save the pictures. Standard library only.

python submit.py [body.json]
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

URL = os.environ.get("IMAGEMILL_URL", "http://127.0.0.1:8700").rstrip("/")
TOKEN = os.environ.get("IMAGEMILL_TOKEN", "local")
BODY = Path(__file__).parent.parent / "bodies" / "text-to-image.json"
POLL_S = 0.5


def call(method: str, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        URL + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        # application/problem+json: `detail` is a sentence, `errors` names the fields.
        sys.exit(f"{error.code}: {json.load(error)['detail']}")
    except urllib.error.URLError as error:
        sys.exit(f"no server answers at {URL} ({error.reason}); start one with `imagemill serve`")


def main() -> None:
    body = json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else BODY).read_text())
    answer = call("POST", "/v1/consumer/jobs", body)
    while any(job["scheduled"] for job in answer["jobs"]):
        time.sleep(POLL_S)
        answer = call("GET", f"/v1/consumer/jobs?token={answer['token']}")

    failed = 0
    for number, job in enumerate(answer["jobs"], start=1):
        result = job["result"]
        if not result.get("blobUrl"):
            failed += 1
            last = job["lastEvent"]
            print(f"job {job['jobId']}: {last['type']}, {last['context'].get('error_message', '')}")
            continue
        # The URL is signed: no token is needed, and none should be sent along.
        with urllib.request.urlopen(result["blobUrl"], timeout=30) as response:
            data = response.read()
            path = Path(f"picture-{number}.{response.headers.get_content_subtype()}")
        path.write_bytes(data)
        print(f"{path}: {len(data)} bytes, seed {result.get('seed')}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
