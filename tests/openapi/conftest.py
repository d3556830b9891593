"""The environment of the generators of Python code."""

import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "client.txt"


@pytest.fixture(scope="session")
def python() -> Path:
    """An interpreter that has the generators and what their clients need, kept for the next run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagemill-tests" / "venv"
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    if not kept.exists():
        made = Path(tempfile.mkdtemp(dir=cache, prefix="making-"))
        venv.create(made, with_pip=True)
        command = [made / "bin" / "python", "-m", "pip", "install", "--quiet", "--require-hashes", "-r"]
        done = subprocess.run([*command, REQUIREMENTS], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        made.rename(kept)
    return kept / "bin" / "python"
