"""Pages of other sites: refused where no key is needed, and bound to the settings where one is."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.access.support import ADMIN_KEY
from tests.conftest import Server, image_job
from tests.http.support import count_jobs, first, problem

EVIL = "https://evil.example"
APP = "https://app.example"
FOREIGN = [
    {"Origin": EVIL},
    {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Authorization": "Bearer x"},
    {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},  # an <img>, which sends no Origin
]
READS = [
    "/api/v1/jobs",
    "/api/v1/nodes",
    "/api/v1/workflows",
    "/api/v1/keys",
    "/api/v1/characters",
    "/api/v1/models",
    "/api/v1/library",
    "/v1/consumer/jobs?token=x",
    "/v2/resources",
    "/fal/fal-ai/flux/requests/x/status",
    "/metrics",
]
WRITES: list[tuple[str, Any]] = [
    ("/api/v1/jobs", {"recipe": "textToImage", "input": {}}),
    ("/v1/consumer/jobs", image_job()),
    ("/fal/fal-ai/flux/dev", {"prompt": "a fox"}),
    ("/fal-run/fal-ai/flux/dev", {"prompt": "a fox"}),
    ("/api/v1/keys", {}),
]


def plain(server: Server, method: str, path: str, **more: Any) -> httpx2.Response:
    """A request without any header of our own."""
    return httpx2.request(method, server.url + path, verify=False, trust_env=False, **more)


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", READS)
def test_a_foreign_page_reads_nothing_without_keys(
    server: Server, path: str, headers: dict[str, str]
) -> None:
    answer = plain(server, "GET", path, headers=headers)

    assert answer.status_code == 403
    assert "IMAGEMILL_CORS__ORIGINS" in answer.text


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(("path", "body"), WRITES)
def test_a_foreign_page_does_nothing_without_keys(
    server: Server, path: str, body: Any, headers: dict[str, str]
) -> None:
    before = count_jobs(server)

    assert plain(server, "POST", path, json=body, headers=headers).status_code == 403
    assert count_jobs(server) == before
    assert server.app.services.access.is_open()


@pytest.mark.parametrize("path", READS)
def test_what_is_no_page_needs_no_header_at_all(server: Server, path: str) -> None:
    assert plain(server, "GET", path).status_code in (200, 404)
    assert plain(server, "GET", path, headers={"Authorization": "Bearer anything"}).status_code in (200, 404)


def test_a_picture_by_its_signed_url_is_for_every_page(server: Server) -> None:
    url = first(server.submit(wait="true"))["result"]["blobUrl"]

    answer = httpx2.get(url, headers=FOREIGN[1], verify=False, trust_env=False)

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/health"])
def test_public_pages_may_be_linked_to_but_not_read(server: Server, path: str) -> None:
    answer = plain(server, "GET", path, headers=FOREIGN[1])

    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("cors", "allowed"),
    [
        ({"origins": (APP,)}, {"/api/v1/jobs", "/v2/resources"}),
        ({"origins": ("*",)}, {"/api/v1/jobs", "/v2/resources"}),
        ({"contract_origins": (APP,)}, {"/v2/resources"}),
        ({"contract_origins": ("*",)}, set[str]()),
    ],
)
def test_the_settings_allow_pages_without_keys(
    make_server: Callable[..., Server], cors: dict[str, Any], allowed: set[str]
) -> None:
    server = make_server(cors=cors)
    headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}

    passed = {
        path
        for path in ("/api/v1/jobs", "/v2/resources")
        if plain(server, "GET", path, headers=headers).status_code == 200
    }

    assert passed == allowed


def test_with_keys_pages_of_all_sites_may_use_the_contracts(make_server: Callable[..., Server]) -> None:
    server = make_server(auth={"admin_key": ADMIN_KEY})
    headers = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Authorization": f"Bearer {ADMIN_KEY}"}
    asked = {**FOREIGN[0], "Access-Control-Request-Headers": "x-fal-queue-priority"}

    for path in ("/v2/resources", "/fal/fal-ai/flux/requests/x/status"):
        answer = plain(server, "GET", path, headers=headers)
        preflight = plain(server, "OPTIONS", path, headers=asked)
        assert answer.status_code in (200, 404)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-headers"].startswith("*, Authorization")


def test_a_foreign_page_opens_no_socket(server: Server) -> None:
    job_id = first(server.submit(wait="true"))["jobId"]
    url = f"{server.url.replace('http', 'ws', 1)}/api/v1/jobs/{job_id}/ws"

    with connect(url, origin=EVIL) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(5)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


@pytest.mark.parametrize(
    "host",
    [
        "localhost:80@evil.example",
        "localhost:80/x",
        "localhost:",
        "localhost:x",
        "localhost:123456",
        "localhost evil.example",
        "localhost,evil.example",
        "[::1]x",
        "[::1]:80@evil.example",
        "::1",
        "http://localhost",
        "rebound.evil.example",
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/health", "/docs"])
def test_a_host_is_a_loopback_name_with_or_without_a_port(server: Server, host: str, path: str) -> None:
    answer = plain(server, "GET", path, headers={"Host": host})

    assert host.split(" ")[0][:9] in problem(answer, 421)["detail"]


def test_allowing_all_hosts_allows_no_malformed_one(make_server: Callable[..., Server]) -> None:
    server = make_server(allowed_hosts=("*",))

    assert plain(server, "GET", "/health/live", headers={"Host": "any.example:80"}).status_code == 200
    assert plain(server, "GET", "/health/live", headers={"Host": "a:80@evil.example"}).status_code == 421
