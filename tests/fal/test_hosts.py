"""fal's hosts: which requests are served as if below which path, and how the server is set up for it."""

from typing import Any

import pytest
from pydantic import ValidationError

from imagemill.config import Settings
from imagemill.dialects.fal.settings import BUILTIN
from tests.conftest import Server
from tests.fal.support import DEV, KEY, wanted

ADMIN_KEY = "an-administrators-key-of-the-settings"


def at(server: Server, host: str, path: str, method: str = "GET", **options: Any) -> Any:
    port = server.url.rpartition(":")[2]
    headers = {**KEY, "Host": f"{host}:{port}", **options.pop("headers", {})}
    return server.client.request(method, path, headers=headers, **options)


def test_a_queue_host_is_the_queue(fal: Server) -> None:
    told = at(fal, "queue.fal.test", f"/{DEV}", "POST", json=wanted())

    port = fal.url.rpartition(":")[2]
    one = f"http://queue.fal.test:{port}/fal-ai/flux/requests/{told.json()['request_id']}"
    assert told.json()["status_url"] == f"{one}/status"
    path = one.partition(port)[2]
    assert at(fal, "queue.fal.test", f"{path}/status").json()["response_url"] == one
    assert at(fal, "Queue.Fal.Test", "/.well-known/jwks.json").json()["keys"]


def test_a_run_host_answers_with_what_was_made(fal: Server) -> None:
    answer = at(fal, "fal.test", f"/{DEV}", "POST", json=wanted())

    url = answer.json()["images"][0]["url"]
    assert url.startswith("http://fal.test:")
    picture = at(fal, "fal.test", f"/blobs/{url.partition('/blobs/')[2]}")
    assert picture.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("host", ["fal.test", "queue.fal.test"])
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/consumer/jobs", "/openapi.json", "/docs", "/health"])
def test_nothing_else_is_served_there(fal: Server, host: str, path: str) -> None:
    assert at(fal, host, path).status_code in (404, 405)


def test_the_paths_are_not_there_twice(fal: Server) -> None:
    assert at(fal, "queue.fal.test", f"/fal/{DEV}", "POST", json=wanted()).status_code == 404


def test_hosts_that_are_not_set_are_not_answered(make_server: Any) -> None:
    assert at(make_server(), "queue.fal.test", "/").status_code == 421


def test_behind_a_proxy_the_public_scheme_is_told(make_server: Any) -> None:
    server = make_server(
        public_url="https://img.example",
        fal_api={"hosts": ["fal.example", "queue.fal.example"]},
    )
    told = at(server, "queue.fal.example", f"/{DEV}", "POST", json=wanted()).json()
    by_path = at(server, "img.example", f"/fal/{DEV}", "POST", json=wanted()).json()
    made = at(server, "fal.example", f"/{DEV}", "POST", json=wanted()).json()

    assert told["status_url"].startswith("https://queue.fal.example:")
    assert by_path["status_url"].startswith("https://img.example/fal/fal-ai/flux/requests/")
    assert made["images"][0]["url"].startswith("https://img.example/blobs/")


def test_a_key_of_this_server_is_sent_as_fals_clients_do(make_server: Any) -> None:
    server = make_server(auth={"admin_key": ADMIN_KEY}, fal_api={"hosts": ["fal.test"]})

    def status(host: str, path: str, authorization: str) -> int:
        headers = {"Authorization": authorization}
        return at(server, host, path, "POST", json=wanted(), headers=headers).status_code

    for host, path in (
        ("127.0.0.1", f"/fal/{DEV}"),
        ("127.0.0.1", f"/fal-run/{DEV}"),
        ("fal.test", f"/{DEV}"),
    ):
        assert status(host, path, f"Key {ADMIN_KEY}") == 200
        assert status(host, path, f"Bearer {ADMIN_KEY}") == 200
        assert status(host, path, "Key another") == 401
        assert status(host, path, "") == 401


@pytest.mark.parametrize("path", [f"/fal/{DEV}", f"/fal-run/{DEV}"])
def test_where_no_key_is_needed_no_header_is(fal: Server, path: str) -> None:
    assert fal.client.post(path, json=wanted(), headers={"Authorization": ""}).status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        {"hosts": ["https://fal.example"]},
        {"hosts": ["fal.example:443"]},
        {"apps": {"alone": {"model": "m"}}},
        {"apps": {"a/requests": {"model": "m"}}},
        {"apps": {"a/b/stream": {"model": "m"}}},
        {"apps": {"A/b": {"model": "m"}}},
        {"apps": {"a/b": {"model": "m", "image_size": "huge"}}},
        {"webhook_key": "short"},
        {"run_s": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(_env_file=None, fal_api=given)


@pytest.mark.parametrize("own", [{"public_url": "https://img.example"}, {"host": "img.example"}])
def test_the_servers_own_name_is_not_given_away(own: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="a host of its own"):
        Settings(_env_file=None, fal_api={"hosts": ["img.example"]}, **own)  # type: ignore[arg-type]


def test_apps_are_added_to_the_built_in_ones() -> None:
    settings = Settings(_env_file=None, fal_api={"apps": {"fal-ai/flux/dev": {"model": "other"}}})

    assert set(settings.fal_api.offered) == set(BUILTIN)
    assert settings.fal_api.offered["fal-ai/flux/dev"].model == "other"
