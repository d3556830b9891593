"""Two users side by side: each sees only their own jobs, pictures, counts and events."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from imagemill.config import Settings
from tests.access.support import ADMIN_KEY, QUICK, ask, key
from tests.conftest import Server, running_server
from tests.console.browser import Visitor, visitor

SMALL = {"width": 64, "height": 64, "steps": 1}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, auth = tmp_path_factory.mktemp("two"), {"admin_key": ADMIN_KEY, **QUICK}
    with running_server(Settings(_env_file=None, data_dir=folder, auth=auth)) as started:
        yield started


def signed_in(made: Visitor, path: str, token: str) -> Page:
    made.expected = ("status of 401", "status of 403", "status of 404")
    page = made.open(path)
    page.get_by_label("API key", exact=True).last.fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("navigation", name="Menu").first).to_be_attached()
    return page


def read(page: Page, path: str) -> Any:
    """What the page's own session is answered."""
    return page.evaluate("path => fetch(path).then((answer) => answer.json())", path)


def test_two_users_side_by_side_see_only_their_own(browser: Browser, server: Server):
    tokens = {name: key(server, name) for name in ("anna", "ben")}
    with visitor(browser, server.url) as one, visitor(browser, server.url) as two:
        pages = {
            "anna": signed_in(one, "/queue", tokens["anna"]),
            "ben": signed_in(two, "/queue", tokens["ben"]),
        }
        for page in pages.values():
            page.evaluate(
                """() => {
                    window.heard = [];
                    const events = new EventSource("/api/v1/events");
                    events.addEventListener("jobs", (event) => window.heard.push(event.data));
                    return new Promise((resolve) => events.addEventListener("open", resolve));
                }"""
            )
        jobs = {
            name: ask(
                server,
                token,
                "POST",
                "/api/v1/jobs",
                json={"recipe": "textToImage", "input": {"prompt": f"a picture of {name}", **SMALL}},
            ).json()["id"]
            for name, token in tokens.items()
        }
        for name, page in pages.items():
            other = jobs["ben" if name == "anna" else "anna"]
            page.wait_for_function("id => window.heard.join().includes(id)", arg=jobs[name])
            page.wait_for_function("id => window.heard.join().match(/succeeded/)", arg=jobs[name])
            heard = page.evaluate("window.heard.join()")
            assert other not in heard
            assert [job["id"] for job in read(page, "/api/v1/jobs")["items"]] == [jobs[name]]
            assert sum(each["count"] for each in read(page, "/api/v1/jobs/counts?by=status")["items"]) == 1
            pictures = read(page, "/api/v1/artifacts")["items"]
            assert [picture["prompt"] for picture in pictures] == [f"a picture of {name}"]
            assert read(page, f"/api/v1/jobs/{other}")["status"] == 404
            assert read(page, "/api/v1/jobs?owner=*")["status"] == 403
            assert read(page, "/api/v1/events?owner=*")["status"] == 403
            expect(page.locator(f'a[href="/jobs/{other}"]')).to_have_count(0)
