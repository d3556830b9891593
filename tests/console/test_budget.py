"""What the console may cost a browser: requests and bytes of the first load, and memory over many events."""

from playwright.sync_api import Browser

from tests.conftest import Server, image_job
from tests.console.browser import visitor
from tests.console.measures import SEEN, Jobs, memory, play, queue_page, traffic

MOST_REQUESTS = 40
FIRST_LOAD = 120 * 1024
ANSWERS = 120 * 1024
HEAP_GROWTH = 1.1


def test_the_first_load_keeps_to_its_budget(browser: Browser, server: Server) -> None:
    server.submit(image_job(), wait="true").raise_for_status()
    with visitor(browser, server.url) as reader:
        reader.context.add_init_script(SEEN)
        page = reader.context.new_page()
        with traffic(page) as counted:
            page.goto(server.url + "/")
            page.get_by_label("Prompt", exact=True).fill("a fox")
            page.wait_for_load_state("load")
    assert 5 < counted.requests <= MOST_REQUESTS
    assert sum(counted.files) < FIRST_LOAD
    assert sum(counted.answers) < ANSWERS


def test_the_queue_holds_no_more_after_many_events(browser: Browser, server: Server) -> None:
    jobs = Jobs(server)
    with visitor(browser, server.url) as reader:
        page = queue_page(reader)
        play(page, jobs, 1_800)  # by then the engine has compiled what it compiles
        early = memory(page)
        play(page, jobs, 2_700)
        late = memory(page)
    assert late.nodes <= early.nodes * HEAP_GROWTH
    assert late.listeners <= early.listeners * HEAP_GROWTH
    assert late.heap <= early.heap * HEAP_GROWTH
