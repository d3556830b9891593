"""The models of our own Python client are those of the server's document."""

from pathlib import Path

from tests.conftest import Server
from tools.client_models import generate

KEPT = Path(__file__).parents[2] / "clients" / "python" / "src" / "imagemill_client" / "models.py"


def _tokens(source: str) -> str:
    """Without what a formatter changes."""
    return "".join(source.split()).replace(",)", ")").replace(",]", "]")


def test_the_models_are_made_from_the_document(server: Server, python: Path, tmp_path: Path) -> None:
    """If it fails, run: python tools/client_models.py GENERATOR FILE, as its docstring says."""
    made = tmp_path / "models.py"
    generate(str(python), server.client.get("/openapi.json").json(), made)

    assert _tokens(made.read_text(encoding="utf-8")) == _tokens(KEPT.read_text(encoding="utf-8"))
