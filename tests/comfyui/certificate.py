"""A certificate for nodes that speak TLS, made anew for each run: no key lies in the repository."""

import ssl
import tempfile
from functools import cache
from pathlib import Path

import trustme


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


@cache
def authority_file() -> Path:
    """PEM file of who signed the nodes' certificate."""
    path = Path(tempfile.mkdtemp(prefix="comfyui-test-")) / "authority.pem"
    _authority().cert_pem.write_to_path(str(path))
    return path


def server_context() -> ssl.SSLContext:
    """For 127.0.0.1 and localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context
