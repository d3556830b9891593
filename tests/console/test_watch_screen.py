"""Watch, in the words of an operator who wants to know whether all is well."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from imagemill.domain.clock import SECOND, now_us
from tests.conftest import Server, image_job
from tests.console.browser import Visitor, accessibility_problems
from tests.http.support import job_ids


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(job={"retry_base_s": 0.01})


def test_counters_the_doctor_and_settings_on_one_page(server: Server, reader: Visitor) -> None:
    for job_id in job_ids(server.submit(image_job(quantity=2))):
        server.wait(job_id)
    failed = server.submit(image_job(properties={"simulate": {"fault": "content"}}))
    server.wait(job_ids(failed)[0])
    server.app.minutes.record(now_us() + 90 * SECOND)
    page = reader.open("/watch")

    expect(page.get_by_text("1 of the latest 3 jobs failed")).to_be_visible()
    expect(page.get_by_role("img", name="Jobs. submitted:")).to_be_visible()
    expect(page.get_by_role("img", name="Stages, 95th percentile. prepare:")).to_be_visible()
    expect(page.get_by_text("IMAGEMILL_JOB__RETRY_BASE_S")).to_be_visible()
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_text("findings,")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="database").first).to_be_visible()
    assert accessibility_problems(page) == []

    page.get_by_label("Time shown").select_option("7d")
    expect(page.get_by_role("img", name="Jobs. submitted:")).to_be_visible()
    assert "span=7d" in page.url
