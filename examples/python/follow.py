"""Print a job's events as they happen, and go on where a lost connection left off. Standard library only.

python follow.py JOB
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

URL = os.environ.get("IMAGEMILL_URL", "http://127.0.0.1:8700").rstrip("/")
TOKEN = os.environ.get("IMAGEMILL_TOKEN", "local")
LAST = {"Succeeded", "Failed", "Canceled", "Expired"}
TRIES = 10


def events(job: str, after: int) -> Iterator[tuple[str, dict[str, Any], int | None]]:
    """Name, data and number of each event after the number ``after``; progress has no number."""
    request = urllib.request.Request(
        f"{URL}/api/v1/jobs/{job}/events",
        headers={"Authorization": f"Bearer {TOKEN}", "Last-Event-ID": str(after)},
    )
    # The server says something at least every 15 seconds.
    with urllib.request.urlopen(request, timeout=45) as response:
        name, data, number = "", "", None
        for raw in response:
            field, _, value = raw.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data = value
            elif field == "id":
                number = int(value)
            elif not field and data:
                yield name, json.loads(data), number
                name, data, number = "", "", None


def main() -> None:
    job = sys.argv[1]
    after = 0
    for _ in range(TRIES):
        try:
            for name, data, number in events(job, after):
                after = number or after
                if name == "progress":
                    print(f"  step {data['step']} of {data['total']}", flush=True)
                else:
                    print(f"{data['at']} {name}", flush=True)
                if name in LAST:
                    sys.exit(0 if name == "Succeeded" else 1)
        except urllib.error.HTTPError as error:
            sys.exit(f"{error.code}: {json.load(error)['detail']}")
        except OSError as error:
            print(f"connection lost ({error}); going on after event {after}", file=sys.stderr)
        time.sleep(1)
    sys.exit("the server stays away")


if __name__ == "__main__":
    main()
