"""The published npm client, @fal-ai/client, unmodified, configured as docs/fal-api.md says."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import npm
from tests.access.support import guarded, key
from tests.conftest import Server
from tests.fal.support import DEV

SOURCE = Path(__file__).parent / "node"
PAGE = (Path(__file__).parents[2] / "docs/fal-api.md").read_text(encoding="utf-8")
(CONFIGURATION,) = re.findall(r"^```js\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> npm.Installed:
    """The client as its lock file says, beside the configuration of the page."""
    source = tmp_path_factory.mktemp("fal-js") / "source"
    shutil.copytree(SOURCE, source)
    (source / "configuration.mjs").write_text(CONFIGURATION, encoding="utf-8")
    return npm.install(source, source.parent / "client")


@pytest.fixture(scope="module")
def ask(installed: npm.Installed, fal: Server) -> Callable[[str], Any]:
    return lambda what: json.loads(installed.run("client.mjs", fal.url, what).splitlines()[-1])


def test_the_lock_file_pins_everything_and_names_no_source() -> None:
    lock = json.loads((SOURCE / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}

    assert lock["packages"][""]["dependencies"] == {"@fal-ai/client": "1.10.1"}
    assert packages["node_modules/@fal-ai/client"]["version"] == "1.10.1"
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert all("resolved" not in package for package in packages.values())


def is_result(result: dict[str, Any], fal: Server) -> bool:
    (image,) = result["data"]["images"]
    return (
        result["data"]["seed"] == 7
        and (image["width"], image["height"]) == (64, 64)
        and image["url"].startswith(f"{fal.url}/blobs/")
    )


def test_it_subscribes_by_polling_and_streaming(ask: Callable[[str], Any], fal: Server) -> None:
    told = ask("subscribe")

    assert told["seen"][-1] == "COMPLETED"
    assert is_result(told["result"], fal)
    assert is_result(told["streamed"], fal)


def test_it_submits_follows_and_gets(ask: Callable[[str], Any], fal: Server) -> None:
    told = ask("queue")

    assert told["status"]["status"] == "COMPLETED"
    assert told["status"]["logs"][0]["message"] == "queued"
    assert is_result(told["result"], fal)
    assert told["cancelled"]["status"] == 400


def test_it_runs_and_streams(ask: Callable[[str], Any], fal: Server) -> None:
    assert is_result(ask("run"), fal)
    streamed = ask("stream")
    assert streamed["events"] >= 1
    assert streamed["done"]["images"][0]["width"] == 64


def test_what_the_page_uploads_is_an_image_url(ask: Callable[[str], Any], fal: Server) -> None:
    assert is_result(ask("upload"), fal)


def test_what_is_not_served_is_refused_and_nothing_goes_to_fal(ask: Callable[[str], Any]) -> None:
    told = ask("refused")

    assert told["input"]["name"] == "ValidationError"
    assert told["input"]["body"]["detail"][0]["loc"] == ["body", "image_url"]
    assert (told["app"]["name"], told["app"]["status"]) == ("ApiError", 404)
    assert DEV in told["app"]["body"]["detail"]
    assert "not served here" in told["storage"]["message"]


def test_it_needs_a_key_once_there_are_some(
    installed: npm.Installed, make_server: Callable[..., Server]
) -> None:
    server = guarded(make_server)
    ann = key(server, "ann")

    result = json.loads(installed.run("client.mjs", server.url, "run", ann).splitlines()[-1])
    unknown = json.loads(installed.run("client.mjs", server.url, "unknown", "another-key").splitlines()[-1])

    assert is_result(result, server)
    assert unknown["status"] == 401
    assert "not known" in unknown["body"]["detail"]
