"""The published `civitai-py` package (0.1.10), unchanged, with this server in the place of Civitai's.

pip install civitai-py==0.1.10
python with_civitai_py.py
"""

import os
import sys
import urllib.request
from pathlib import Path

# The package wants a token at import and takes its address from the object it makes there.
os.environ.setdefault("CIVITAI_API_TOKEN", os.environ.get("IMAGEMILL_TOKEN", "local"))

import civitai

civitai.civitai.base_path = os.environ.get("IMAGEMILL_URL", "http://127.0.0.1:8700").rstrip("/")

answer = civitai.image.create(
    {
        "model": "urn:air:sd1:checkpoint:civitai:4384@128713",
        "params": {
            "prompt": "a lighthouse on a cliff, evening light",
            "scheduler": "EulerA",
            "steps": 20,
            "cfgScale": 7,
            "width": 768,
            "height": 512,
            "seed": 42,
        },
        "additionalNetworks": {"urn:air:sd1:lora:civitai:82098@87153": {"type": "Lora", "strength": 0.8}},
    },
    wait=True,
)
if not answer or not answer["jobs"]:
    sys.exit("the job was not done in time")
for number, job in enumerate(answer["jobs"], start=1):
    path = Path(f"civitai-py-{number}.png")
    with urllib.request.urlopen(job["result"]["blobUrl"], timeout=30) as response:
        path.write_bytes(response.read())
    print(f"{path}: job {job['jobId']}, cost {job['cost']}")
