"""API keys over HTTP: what they open, what they may make, how they end."""

from collections.abc import Callable

import httpx2
import pytest

from imagemill.domain.access import Role, Scope
from tests.access.support import ADMIN_KEY, ask, bearer, guarded, key, visible
from tests.conftest import Server, image_job
from tests.http.support import job_ids, problem


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> "object":
    from imagemill.config import Settings
    from tests.conftest import running_server

    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("keys"),
        auth={"admin_key": ADMIN_KEY, "password_memory_mb": 8},
        job={"heartbeat_s": 0.05},
    )
    with running_server(settings) as server:
        server.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        yield server


def make(server: Server, token: str, **body: object) -> httpx2.Response:
    return ask(server, token, "POST", "/api/v1/keys", json=body)


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer x", "Basic eDp5", f"Bearer {'k' * 5000}"])
def test_nobody_we_know_is_told_how_to_say_who_he_is(app: Server, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    answer = httpx2.get(f"{app.url}/api/v1/jobs", headers=headers, verify=False)
    problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Key", "KEY"])
def test_a_key_is_sent_as_civitais_clients_or_as_fals_do(app: Server, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {key(app, 'ann')}"}
    answer = httpx2.post(f"{app.url}/v1/consumer/jobs", json=image_job(), headers=headers, verify=False)
    assert answer.status_code == 200, answer.text
    mine = httpx2.get(f"{app.url}/api/v1/jobs", headers=headers, verify=False).json()["items"]
    assert job_ids(answer)[0] in [job["id"] for job in mine]


def test_a_header_that_is_there_twice_is_refused(app: Server) -> None:
    twice = [("Authorization", f"Bearer {ADMIN_KEY}"), ("Authorization", "Bearer other")]
    assert (
        "more than once"
        in problem(httpx2.get(f"{app.url}/api/v1/jobs", headers=twice, verify=False), 400)["detail"]
    )


def test_a_made_key_is_shown_once_and_works_at_once(app: Server) -> None:
    answer = make(app, key(app, "bob"), name="for a friend", scopes=["jobs:read"])
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["key"].startswith(f"im_{made['id']}_")
    assert ask(app, made["key"], "GET", "/api/v1/jobs").status_code == 200
    assert "jobs:write" in problem(ask(app, made["key"], "POST", "/api/v1/jobs", json={}), 403)["detail"]
    listed = ask(app, key(app, "bob"), "GET", "/api/v1/keys")
    assert made["id"] in [each["id"] for each in listed.json()["items"]]
    assert made["key"] not in listed.text
    assert "digest" not in listed.text


def test_a_key_gives_no_more_than_its_maker_has(app: Server) -> None:
    narrow = key(app, "cat", scopes=frozenset({Scope.ACCOUNT_WRITE, Scope.JOBS_READ}))
    assert "jobs:write" in problem(make(app, narrow, scopes=["jobs:write"]), 403)["detail"]
    assert "nodes:write" in problem(make(app, narrow, scopes=["nodes:write"]), 403)["detail"]
    problem(make(app, narrow, scopes=[]), 400)
    problem(make(app, narrow, scopes=["everything"]), 400)
    problem(make(app, narrow, isService=True), 403)
    assert make(app, narrow).json()["scopes"] == ["account:write", "jobs:read"]


def test_a_key_does_not_outlive_its_maker(app: Server) -> None:
    short = key(app, "dan", life_s=3600)
    problem(make(app, short, expiresInDays=1), 403)
    assert make(app, short).json()["expiresAt"] is not None
    assert make(app, key(app, "dan")).json()["expiresAt"] is None


def test_a_revoked_and_an_expired_key_are_refused(app: Server) -> None:
    gone, keeper = key(app, "eve"), key(app, "eve")
    assert ask(app, gone, "GET", "/api/v1/jobs").status_code == 200
    assert ask(app, keeper, "DELETE", f"/api/v1/keys/{visible(gone)}").status_code == 204
    assert "revoked" in problem(ask(app, gone, "GET", "/api/v1/jobs"), 401)["detail"]
    expired = key(app, "eve", life_s=-1)
    assert "expired" in problem(ask(app, expired, "GET", "/api/v1/jobs"), 401)["detail"]
    forged = keeper[:-4] + "aaaa"
    assert "not known" in problem(ask(app, forged, "GET", "/api/v1/jobs"), 401)["detail"]


def test_anothers_key_is_not_there(app: Server) -> None:
    theirs, mine = key(app, "fay"), key(app, "gus")
    problem(ask(app, mine, "DELETE", f"/api/v1/keys/{visible(theirs)}"), 404)
    assert ask(app, theirs, "GET", "/api/v1/jobs").status_code == 200
    assert visible(theirs) not in ask(app, mine, "GET", "/api/v1/keys").text


@pytest.mark.parametrize("path", ["owners", "owners/ann", "owners/ann/keys", "users", "audit"])
def test_users_and_operators_do_not_administer(app: Server, path: str) -> None:
    for token in (key(app, "ann"), key(app, "ops", Role.OPERATOR)):
        assert "'admin'" in problem(ask(app, token, "GET", f"/api/v1/{path}"), 403)["detail"]


def test_an_account_is_made_changed_disabled_and_it_is_written_down(app: Server) -> None:
    client = app.client
    made = client.post("/api/v1/owners", json={"id": "hal", "name": "Hal"})
    assert (made.status_code, made.json()["role"]) == (201, "user")
    problem(client.post("/api/v1/owners", json={"id": "hal"}), 409)
    token = client.post("/api/v1/owners/hal/keys", json={}).json()["key"]
    problem(ask(app, token, "GET", "/api/v1/nodes"), 403)
    changed = client.patch("/api/v1/owners/hal", json={"role": "operator", "weight": 2})
    assert (changed.json()["role"], changed.json()["weight"]) == ("operator", 2)
    problem(ask(app, token, "GET", "/api/v1/nodes"), 403)  # its key was made with less
    client.patch("/api/v1/owners/hal", json={"disabled": True})
    assert "disabled" in problem(ask(app, token, "GET", "/api/v1/jobs"), 401)["detail"]
    client.patch("/api/v1/owners/hal", json={"disabled": False})
    assert ask(app, token, "GET", "/api/v1/jobs").status_code == 200
    entries = client.get("/api/v1/audit", params={"limit": 500}).json()["items"]
    found = [(entry["action"], entry["target"]) for entry in entries if "hal" in entry["target"]]
    assert found[-1] == ("POST /api/v1/owners", "hal")
    assert found[-2] == ("POST /api/v1/owners/{owner}/keys", f"hal/{visible(token)}")
    assert found.count(("PATCH /api/v1/owners/{owner}", "/api/v1/owners/hal")) == 3
    assert {entry["credential"] for entry in entries if entry["target"] == "hal"} == {"settings"}
    assert {entry["address"] for entry in entries} == {"127.0.0.1"}
    assert token not in str(entries)


def test_pages_of_the_audit_log_follow_each_other(app: Server) -> None:
    for name in ("p1", "p2", "p3"):
        app.client.post("/api/v1/owners", json={"id": name})
    first = app.client.get("/api/v1/audit", params={"limit": 2}).json()
    second = app.client.get("/api/v1/audit", params={"limit": 1, "cursor": first["next"]}).json()
    assert [entry["target"] for entry in [*first["items"], *second["items"]]] == ["p3", "p2", "p1"]
    problem(app.client.get("/api/v1/audit", params={"cursor": "x"}), 400)


def test_an_administrator_does_not_lock_himself_out(app: Server) -> None:
    token = key(app, "root", Role.ADMIN)
    for change in ({"disabled": True}, {"role": "user"}):
        problem(ask(app, token, "PATCH", "/api/v1/owners/root", json=change), 409)


def test_what_nobody_declared_is_not_found_even_for_users(app: Server) -> None:
    problem(ask(app, key(app, "ann"), "GET", "/api/v1/nothing"), 404)
    problem(ask(app, key(app, "ann"), "GET", "/health%0A"), 404)


# Service keys


def test_end_users_of_a_service_key_have_jobs_of_their_own(app: Server) -> None:
    service = key(app, "app", is_service=True)

    def submit(user: str) -> str:
        return job_ids(
            ask(
                app,
                service,
                "POST",
                "/v1/consumer/jobs",
                json=image_job(),
                headers={"X-Imagemill-User": user},
            )
        )[0]

    def sees(user: str | None, job: str) -> int:
        headers = {"X-Imagemill-User": user} if user else {}
        return ask(app, service, "GET", f"/api/v1/jobs/{job}", headers=headers).status_code

    job = submit("mia")
    assert [sees(user, job) for user in ("mia", "leo", None, "Mia")] == [200, 404, 404, 404]
    assert ask(app, service, "GET", "/api/v1/jobs").json()["items"] == []
    users = app.client.get("/api/v1/owners", params={"parent": "app"}).json()["items"]
    assert "app:mia" in [user["id"] for user in users]


def test_only_a_service_key_acts_for_end_users(app: Server) -> None:
    for token in (key(app, "ann"), ADMIN_KEY):
        answer = ask(app, token, "GET", "/api/v1/jobs", headers={"X-Imagemill-User": "mia"})
        assert "service key" in problem(answer, 403)["detail"]


def test_whom_a_service_key_acts_for_is_never_more_than_a_user(app: Server) -> None:
    service = key(app, "portal", Role.ADMIN, is_service=True)
    acting = {"X-Imagemill-User": "mia"}
    assert ask(app, service, "GET", "/api/v1/nodes").status_code == 200
    problem(ask(app, service, "GET", "/api/v1/nodes", headers=acting), 403)
    problem(ask(app, service, "POST", "/api/v1/keys", json={}, headers=acting), 403)
    problem(app.client.patch("/api/v1/owners/portal:mia", json={"role": "admin"}), 409)
    problem(app.client.post("/api/v1/owners/portal:mia/keys", json={}), 409)


def test_an_end_user_can_be_disabled_alone(app: Server) -> None:
    service = key(app, "shop", is_service=True)

    def status(user: str) -> int:
        return ask(app, service, "GET", "/api/v1/jobs", headers={"X-Imagemill-User": user}).status_code

    assert [status("a"), status("b")] == [200, 200]
    app.client.patch("/api/v1/owners/shop:a", json={"disabled": True})
    assert [status("a"), status("b")] == [403, 200]


def test_names_of_end_users_may_be_of_any_language(app: Server) -> None:
    service = key(app, "welt", is_service=True)
    headers = {**bearer(service), "X-Imagemill-User": "Jörg 東京".encode()}
    assert httpx2.get(f"{app.url}/api/v1/jobs", headers=headers, verify=False).status_code == 200
    (user,) = app.client.get("/api/v1/owners", params={"parent": "welt"}).json()["items"]
    assert user["name"] == "Jörg 東京"


# Open and closed


def test_the_first_key_closes_a_server_that_runs(make_server: Callable[..., Server]) -> None:
    server = make_server()
    me = ask(server, None, "GET", "/api/v1/auth/me").json()
    assert (me["open"], me["role"], me["owner"]) == (True, "admin", "local")
    made = ask(server, None, "POST", "/api/v1/owners/local/keys", json={}).json()
    problem(ask(server, None, "GET", "/api/v1/auth/me"), 401)
    assert ask(server, made["key"], "GET", "/api/v1/auth/me").json()["open"] is False


def test_revoking_the_last_key_opens_nothing(make_server: Callable[..., Server]) -> None:
    server = make_server()
    token = key(server, "ann")
    ask(server, token, "DELETE", f"/api/v1/keys/{visible(token)}")
    problem(ask(server, None, "GET", "/api/v1/jobs"), 401)
    assert server.app.stores.accounts.has_credentials()


@pytest.mark.parametrize("settings", [{"host": "0.0.0.0"}, {"auth": {"required": "always"}}])
def test_nobody_enters_without_a_key_where_others_could_come(
    make_server: Callable[..., Server], settings: dict[str, object]
) -> None:
    problem(ask(make_server(**settings), None, "GET", "/api/v1/jobs"), 401)


def test_an_open_mock_takes_any_token_until_the_first_key(make_server: Callable[..., Server]) -> None:
    server = make_server(host="0.0.0.0", auth={"required": "open"})
    for token in (None, "anything", "im_abcdefghijkl_" + "x" * 43):
        assert ask(server, token, "GET", "/api/v1/auth/me").json()["open"] is True
    page = {"Origin": "https://elsewhere.example"}
    problem(ask(server, None, "GET", "/api/v1/jobs", headers=page), 403)
    made = ask(server, None, "POST", "/api/v1/owners/local/keys", json={}).json()
    problem(ask(server, "anything", "GET", "/api/v1/jobs"), 401)
    assert ask(server, made["key"], "GET", "/api/v1/jobs").status_code == 200


def test_an_administrators_key_closes_an_open_mock(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server, host="0.0.0.0", auth={"required": "open"})
    problem(ask(server, "anything", "GET", "/api/v1/jobs"), 401)


def test_health_tells_strangers_no_names(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server)
    for path in ("/health", "/health/ready"):
        assert ask(server, None, "GET", path).json() == {
            "ok": True,
            "status": "ok",
            "problems": [],
            "simulated": True,
            "database": "ok",
            "blobs": "ok",
        }
        assert "nodes" not in ask(server, key(server, "ann"), "GET", path).json()
        assert len(server.client.get(path).json()["nodes"]) == 1
    assert ask(server, None, "GET", "/health/live").status_code == 200
    problem(ask(server, None, "GET", "/metrics"), 401)
    problem(ask(server, key(server, "ann"), "GET", "/metrics"), 403)
    scrape = key(server, "watch", Role.OPERATOR, scopes=frozenset({Scope.METRICS_READ}))
    assert "imagemill_" in ask(server, scrape, "GET", "/metrics").text
