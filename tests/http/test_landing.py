"""The page at ``/``."""

from collections.abc import Callable

import httpx2

from tests.comfyui.node import TestNode
from tests.conftest import Server
from tests.http.support import until


def test_the_start_page_shows_a_command_and_links_that_lead_somewhere(make_server: Callable[..., Server]):
    server = make_server()
    page = server.client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert f"curl -s {server.url}/api/v1/jobs" in page.text
    assert "the pictures are simulated" in page.text
    assert "<script" not in page.text
    for path in ("/docs", "/redoc", "/openapi.json", "/health"):
        assert f'href="{path}"' in page.text
        assert server.client.get(path).status_code == 200


def test_the_job_on_the_start_page_is_accepted(make_server: Callable[..., Server]):
    server = make_server()
    assert "&quot;recipe&quot;: &quot;textToImage&quot;" in server.client.get("/").text
    body = {"recipe": "textToImage", "input": {"prompt": "a fox in the snow"}}
    assert server.client.post("/api/v1/jobs", json=body).status_code == 201


def test_nodes_are_named_only_to_those_who_may_read_them(make_server: Callable[..., Server]):
    with TestNode() as node:
        server = make_server(comfyui={"urls": [node.url], "health_s": 0.05}, auth={"admin_key": "a" * 40})
        until(lambda: "1 of 1 can take jobs" in httpx2.get(server.url, trust_env=False).text)
        stranger = httpx2.get(server.url, trust_env=False).text
        admin = httpx2.get(server.url, headers={"Authorization": f"Bearer {'a' * 40}"}, trust_env=False).text
    name = server.app.nodes.views()[0].config.name
    assert f"<li>{name}: healthy</li>" in admin
    assert name not in stranger
    assert "IMAGEMILL_TOKEN" in stranger
    assert "IMAGEMILL_TOKEN" not in admin


def test_the_policy_of_the_start_page_opens_no_other_path(make_server: Callable[..., Server]):
    server = make_server(auth={"admin_key": "a" * 40})
    assert httpx2.get(f"{server.url}/api/v1/jobs", trust_env=False).status_code == 401
    assert httpx2.get(f"{server.url}/anything", trust_env=False).status_code == 401
