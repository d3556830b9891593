"""A guarded server, two who have things on it, and everybody who may not have them."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest

from imagemill.api.app import PUBLIC
from imagemill.config import Settings
from imagemill.domain.access import Role, Scope
from imagemill.web.policies import PathPolicies
from tests.conftest import Server, running_server
from tests.documents import whole_document
from tests.isolation.operations import Operation, operations
from tests.isolation.owners import ADMIN_KEY, JWT_SECRET, Belongings, Party, bearer, make_key, settle


@dataclass
class Stage:
    server: Server
    http: httpx2.Client
    operations: list[Operation]
    permits: PathPolicies
    alice: Belongings
    """An account."""
    ann: Belongings
    """An end user of the account `shop`."""
    unknown_keys: dict[str, Party]
    before: Party
    """Had a look round before anybody had anything."""
    empty: dict[str, object]
    """What it saw."""

    def party(self, token: str, user: str | None = None) -> Party:
        return Party(self.server, self.http, bearer(token, user))

    def scope(self, operation: Operation) -> Scope | None:
        return self.permits.of(operation.path).scope(operation.method)

    def without(self, scope: Scope) -> Party:
        """Alice herself, by a key that lacks one scope."""
        return self.party(make_key(self.server, "alice", Role.USER.scopes - {scope}))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("isolation"),
        library={"picture": {"width": 64, "height": 64, "steps": 4}},
        auth={"admin_key": ADMIN_KEY, "sign_up": True, "password_memory_mb": 8, "jwt_secret_key": JWT_SECRET},
    )
    with (
        running_server(settings) as server,
        httpx2.Client(base_url=server.url, timeout=100, verify=False) as http,
    ):
        offered = operations(whole_document(server.url))
        paths = {operation.path for operation in offered}
        shop = make_key(server, "shop", is_service=True)

        def party(account: str, token: str = "", user: str | None = None) -> Party:
            owner = account if user is None else f"{account}:{user}"
            return Party(server, http, bearer(token or make_key(server, account), user), owner)

        eve = party("eve")
        empty = look_round(eve, offered)
        alice = settle(party("alice"), paths)
        ann = settle(party("shop", shop, "ann"), paths)
        unknown_keys = {
            "another account": party("bob"),
            "another end user of the account": party("shop", shop, "bea"),
            "the account itself": party("shop", shop),
            "an end user of the same name": party("rival", make_key(server, "rival", is_service=True), "ann"),
            "an end user called like the account": party("shop", shop, "alice"),
        }
        dialects = server.app.dialects
        permits = PathPolicies([*PUBLIC, *(policy for module in dialects for policy in module.policies)])
        yield Stage(server, http, offered, permits, alice, ann, unknown_keys, eve, empty)


def look_round(party: Party, offered: list[Operation]) -> dict[str, object]:
    """Every list and count there is, as this one sees it."""
    stretch = {"startDate": "2020-01-01T00:00:00Z", "endDate": "2040-01-01T00:00:00Z"}
    seen: dict[str, object] = {}
    for operation in offered:
        if operation.method == "GET" and not operation.parameters:
            query = {name: value for name, value in stretch.items() if name in operation.query}
            answer = party.ask("GET", operation.path, params=query)
            is_json = answer.headers.get("content-type", "").startswith("application/json")
            # A refusal has a trace of its own each time.
            body = answer.json() if is_json else None
            if isinstance(body, dict):
                body.pop("timestamp", None)
                body.pop("traceId", None)
                # A signed address expires, a bit later each time.
                body.pop("uploadUrl", None)
                body.pop("expiresAt", None)
                if operation.path == "/api/v1/events":
                    body.pop("id")  # a time
                if operation.path == "/api/v1/forecast":
                    body.pop("at")
                if operation.path == "/api/v1/stats":
                    # The steps move on with the clock, and series come with the first minute that is counted.
                    body = [each for each in body["items"] if any(each["values"])]
                if operation.path == "/api/v1/keys":
                    for key in body["items"]:
                        key.pop("usedAt", None)  # noted once a minute
                if operation.path == "/api/v1/books":
                    body["items"] = [each["slug"] for each in body["items"]]
            seen[operation.path] = (answer.status_code, body)
    query = party.ask("POST", "/v1/consumer/jobs/query", json={})
    seen["query"] = (query.status_code, query.json())
    seen["document"] = whole_document(party.server.url, party.headers)["paths"]
    return seen
