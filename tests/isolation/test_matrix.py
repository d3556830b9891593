"""Every route and method of the server's own OpenAPI document, asked by everybody who may not.

A new route is covered by itself. A parameter that the table of things does not know fails: have such a thing
in `tests.isolation.owners.settle`, so that it can be asked for.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx2
import jwt
import pytest

from imagemill.domain.access import Role, Scope
from tests.graphs import graph
from tests.isolation.conftest import Stage, look_round
from tests.isolation.operations import Operation
from tests.isolation.owners import (
    ADMIN_KEY,
    BOOKS,
    COMMON,
    JWT_SECRET,
    Belongings,
    Party,
    bearer,
    make_key,
    picture,
)

PUBLIC = {
    "GET /fal/.well-known/jwks.json",
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /blobs/{name}",
    "GET /blobs/inputs/{mark}/{digest}/{name}",
    "GET /v2/consumer/blobs/content/{token}",
    "GET /v2/consumer/blobs/archive/{token}",
    "GET /blobs/characters/{folder}/{subject}/{kind}/{file}",
    "GET /api/v1/image-generation/health",
    "GET /blobs/library/{template}/{name}",
    "GET /api/v1/shared-books/{token}",
    "GET /api/v1/shared-books/{token}/pages/{page}/picture",
    "POST /api/v1/auth/sign-up",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/forgot-password",
    "POST /api/v1/auth/reset-password",
    "POST /api/v1/session",
    "GET /api/v1/session",
    "DELETE /api/v1/session",
}
"""What needs no key. Blobs and shared books need a signed address; the rest tells nothing of anybody."""
ADMINS_ONLY: set[str] = set()
"""Routes without a permit, which only administrators see."""
CREATING = {"PUT /api/v1/image-generation/characters/{character_id}"}
"""What makes one's own thing of any name; asked with a body that is refused."""
BODIES: Mapping[str, Any] = {
    "PUT /v1/consumer/jobs": {"reason": "other"},
    "PUT /v1/consumer/jobs/{job_id}": {"reason": "other"},
    "PATCH /api/v1/jobs/{job_id}": {"priority": 5},
    "POST /api/v1/jobs/bulk": {"action": "delete", "filter": {}, "dryRun": True},
    "PUT /api/v1/workflows/{name}": {"graph": graph()},
    "PATCH /api/v1/webhooks/{webhook_id}": {"description": "theirs"},
    "POST /api/v1/library/{model_id}/edit": {"prompt": "theirs"},
    "POST /api/v1/personalizations/{id}/generate": {
        "childName": "Theirs",
        "childAge": 5,
        "childGender": "girl",
        "language": "en",
    },
    "POST /api/v1/personalizations/{id}/pages/{page}/choose": {"version": 1},
    "POST /api/v1/personalizations/{id}/approve": {"who": "theirs"},
    "PUT /v2/consumer/workflows/{workflow_id}": {"metadata": {"album": "theirs"}},
    "PATCH /v2/consumer/workflows/{workflow_id}": [{"op": "add", "path": "/tags/-", "value": "theirs"}],
    "POST /v2/consumer/workflows/{workflow_id}/tags": "theirs",
    "PUT /v2/consumer/workflows/{workflow_id}/steps/{step_name}": {"metadata": {"album": "theirs"}},
    "PATCH /v2/consumer/workflows/{workflow_id}/steps/{step_name}": [
        {"op": "add", "path": "/metadata/album", "value": "theirs"}
    ],
    "PATCH /api/v1/artifacts/{artifact_id}": {"rating": 1},
    "POST /api/v1/webhooks/{webhook_id}/redeliver": {"since": "2020-01-01T00:00:00Z"},
}
"""What is wrong with a body is told before what it is for is looked up; so these are right."""
PLAIN_QUERIES = {
    "after",
    "ageRange",
    "all",
    "ascending",
    "backend",
    "bodyType",
    "book",
    "by",
    "callbackUrl",
    "character",
    "charge",
    "deleted",
    "descending",
    "detailed",
    "download",
    "emotion",
    "endDate",
    "ephemeral",
    "error",
    "event",
    "excludeFailed",
    "exp",
    "experimental",
    "failed",
    "fal_webhook",
    "filename",
    "force",
    "format",
    "from",
    "fromDate",
    "gender",
    "height",
    "hideMatureContent",
    "label",
    "language",
    "latest",
    "limit",
    "logs",
    "model",
    "name",
    "newerThan",
    "node",
    "nsfwLevel",
    "olderThan",
    "page",
    "pictures",
    "pose",
    "previews",
    "priority",
    "public",
    "q",
    "quantity",
    "rating",
    "recipe",
    "replayed",
    "series",
    "shared",
    "sig",
    "since",
    "sort",
    "startDate",
    "state",
    "status",
    "step",
    "steps",
    "stream",
    "style",
    "take",
    "text",
    "to",
    "toDate",
    "type",
    "until",
    "version",
    "view",
    "wait",
    "whatif",
    "width",
    "without",
    "workflowId",
}
"""Query parameters that name nothing of anybody."""


def ask(party: Party, operation: Operation, things: Belongings, **query: str) -> httpx2.Response:
    options: dict[str, Any] = {"params": query}
    if "application/json" in operation.media_types:
        options["json"] = BODIES.get(str(operation), {})
    elif operation.media_types:
        options |= {"content": picture("x"), "headers": {"Content-Type": operation.media_types[0]}}
    return party.ask(operation.method, operation.filled(things.paths), **options)


def leaks(answer: httpx2.Response, things: Belongings) -> set[str]:
    """What is somebody's and was told to somebody else, who did not know it before."""
    told = answer.text + str(answer.headers)
    sent = str(answer.request.url)
    return {secret for secret in things.secrets if secret in told and secret not in sent}


def expected(stage: Stage, operation: Operation) -> set[int] | None:
    """What a stranger is answered who asks for somebody's things; None: whatever, as none are named."""
    scope = stage.scope(operation)
    if scope is not None and scope not in Role.USER.scopes:
        return {403}
    if operation.path.startswith(("/blobs/", "/v2/consumer/blobs/content/", "/v2/consumer/blobs/archive/")):
        return {403}
    if "keys/{key}" in operation.parameters:
        return {404, 403}  # end users have no keys at all
    if str(operation) in CREATING:
        return {400}
    return {404} if set(operation.parameters) - COMMON else None


def wrong(stage: Stage, party: Party, things: Belongings) -> Iterator[str]:
    """Every answer that is not what it should be, a line each."""
    for operation in stage.operations:
        answer = ask(party, operation, things)
        right = expected(stage, operation)
        if answer.status_code >= 500 or (right is not None and answer.status_code not in right):
            yield f"{operation} -> {answer.status_code}, not {right}: {answer.text[:300]}"
        if found := leaks(answer, things):
            yield f"{operation} tells {found}"


def state(things: Belongings) -> dict[str, Any]:
    """All that somebody has, as they see it, without what is different each time it is asked for."""
    job, workflow = things.paths["jobs/{job_id}"], things.paths["workflows/{name}"]
    found = {
        "job": things.owner.get(f"/api/v1/jobs/{job}"),
        "events": things.owner.get(f"/v1/producer/jobs/{job}/events"),
        "workflow": things.owner.get(f"/api/v1/workflows/{workflow}"),
    }
    if ":" not in things.owner.owner:
        keys = things.owner.get("/api/v1/keys")["items"]
        found["keys"] = [{name: value for name, value in each.items() if name != "usedAt"} for each in keys]
    for artifact in found["job"]["artifacts"]:
        artifact["url"] = artifact["url"].partition("?")[0]
    if id_ := things.paths.get("workflows/{workflow_id}"):
        found["v2 workflow"] = things.owner.get(f"/v2/consumer/workflows/{id_}")
        for step in found["v2 workflow"]["steps"]:
            step["output"] = None  # its URLs are signed anew
    if model := things.paths.get("library/{model_id}"):
        versions = things.owner.get(f"/api/v1/library/{model}/versions")["items"]
        found["models"] = [{**each, "signed": None} for each in versions]
    if book := things.paths.get("personalizations/{id}"):
        found["book"] = things.owner.get(f"{BOOKS}/{book}")
    if character := things.paths.get("characters/{character_id}"):
        found["sheet"] = things.owner.get(f"/api/v1/image-generation/characters/{character}")
    if webhook := things.paths.get("webhooks/{webhook_id}"):
        found["webhook"] = things.owner.get(f"/api/v1/webhooks/{webhook}")
    return found


@pytest.fixture(params=["alice", "ann"])
def things(request: pytest.FixtureRequest, stage: Stage) -> Belongings:
    return getattr(stage, request.param)


STRANGERS = (
    "another account",
    "another end user of the account",
    "the account itself",
    "an end user of the same name",
    "an end user called like the account",
)


@pytest.mark.parametrize("who", STRANGERS)
def test_what_is_somebodys_does_not_exist_for(who: str, stage: Stage, things: Belongings):
    before = state(things)
    assert list(wrong(stage, stage.unknown_keys[who], things)) == []
    assert state(things) == before


@pytest.mark.parametrize("who", STRANGERS)
def test_naming_somebodys_things_in_a_query_tells_nothing_to(who: str, stage: Stage, things: Belongings):
    before, complaints = state(things), []
    for operation in stage.operations:
        for name in operation.query:
            assert name in things.queries or name in PLAIN_QUERIES, f"{operation} has the parameter {name}"
        named = {name: things.queries[name] for name in operation.query if name in things.queries}
        if named:
            answer = ask(stage.unknown_keys[who], operation, things, **named)
            if answer.status_code >= 500 or leaks(answer, things):
                complaints.append(f"{operation} {named} -> {answer.status_code} {answer.text[:300]}")
            if "token" in named and answer.status_code != 404:
                complaints.append(f"{operation} -> {answer.status_code}, not 404")
    assert complaints == []
    assert state(things) == before


def _session(stage: Stage, name: str) -> dict[str, Any]:
    body = {"email": f"{name}@example.org", "password": "correct horse battery"}
    answer = stage.http.post("/api/v1/auth/sign-up", json=body)
    assert answer.status_code == 201, answer.text
    answer = stage.http.post("/api/v1/auth/login", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _expired(stage: Stage) -> str:
    token = _session(stage, "expired")["accessToken"]
    assert stage.http.get("/api/v1/auth/me", headers=bearer(token)).status_code == 200
    claims = jwt.decode(token, options={"verify_signature": False})
    kid = {"kid": jwt.get_unverified_header(token)["kid"]}
    # Clocks of machines may differ by 60 s.
    return jwt.encode({**claims, "exp": claims["iat"] - 61}, JWT_SECRET, headers=kid)


def _ended_session(stage: Stage) -> str:
    token = _session(stage, "gone")["accessToken"]
    headers = bearer(token)
    assert stage.http.get("/api/v1/auth/me", headers=headers).status_code == 200
    assert stage.http.post("/api/v1/auth/logout", headers=headers).is_success
    return token


def _unsigned(stage: Stage) -> str:
    token = _session(stage, "unsigned")["accessToken"]
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode({**claims, "sub": "alice"}, None, algorithm="none")


def _garbled(stage: Stage) -> str:
    head, body, signature = _session(stage, "garbled")["accessToken"].split(".")
    return f"{head}.{body}.{signature[::-1]}"


VOID: Mapping[str, Callable[[Stage], Mapping[str, str]]] = {
    "no key": lambda _: {},
    "an empty key": lambda _: {"Authorization": "Bearer"},
    "another scheme": lambda _: {"Authorization": f"Basic {ADMIN_KEY}"},
    "no key of this server": lambda _: bearer("im_abcdefghijkl_" + "A" * 43),
    "a revoked key": lambda stage: bearer(make_key(stage.server, "alice", revoked=True)),
    "an expired key": lambda stage: bearer(make_key(stage.server, "alice", life_s=-1)),
    "a garbled session": lambda stage: bearer(_garbled(stage)),
    "an unsigned session": lambda stage: bearer(_unsigned(stage)),
    "an expired session": lambda stage: bearer(_expired(stage)),
    "an ended session": lambda stage: bearer(_ended_session(stage)),
}


@pytest.mark.parametrize("what", VOID)
def test_nothing_but_what_is_public_is_answered_to(what: str, stage: Stage):
    party, complaints = Party(stage.server, stage.http, VOID[what](stage)), []
    before = state(stage.alice)
    for operation in stage.operations:
        answer = ask(party, operation, stage.alice)
        # Of what is public only a login is refused with 401, for its password.
        refused = str(operation) not in PUBLIC or operation.path.startswith("/api/v1/auth/")
        if (
            answer.status_code >= 500
            or (answer.status_code == 401 and not refused)
            or (answer.status_code != 401 and str(operation) not in PUBLIC)
        ):
            complaints.append(f"{operation} -> {answer.status_code}: {answer.text[:200]}")
        if found := leaks(answer, stage.alice):
            complaints.append(f"{operation} tells {found}")
    assert complaints == []
    assert state(stage.alice) == before


@pytest.mark.parametrize("scope", sorted(Role.USER.scopes))
def test_a_key_without_its_scope_is_refused(scope: Scope, stage: Stage):
    party = stage.without(scope)
    answers = {
        str(operation): ask(party, operation, stage.alice).status_code
        for operation in stage.operations
        if stage.scope(operation) is scope
    }
    assert answers
    assert {name: status for name, status in answers.items() if status != 403} == {}


def test_a_key_of_no_service_acts_for_nobody(stage: Stage):
    party = stage.party(make_key(stage.server, "alice"), "ann")
    found = {
        str(operation): ask(party, operation, stage.alice).status_code
        for operation in stage.operations
        if str(operation) not in PUBLIC
    }
    assert set(found.values()) == {403}


def test_lists_and_counts_are_those_of_an_empty_account(stage: Stage):
    assert look_round(stage.before, stage.operations) == stage.empty


def test_other_methods_of_a_path_are_guarded_too(stage: Stage):
    bob, nobody, complaints = stage.unknown_keys["another account"], Party(stage.server, stage.http, {}), []
    offered: dict[str, set[str]] = {}
    for operation in stage.operations:
        offered.setdefault(operation.path, set()).add(operation.method)
    paths = {each.path: each for each in stage.operations if str(each) not in PUBLIC}
    for operation in paths.values():
        for method in {"HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST"} - offered[operation.path]:
            path = operation.filled(stage.alice.paths)
            if nobody.ask(method, path).status_code not in (401, 204):  # 204: a browser's preflight
                complaints.append(f"{method} {path} is answered to nobody")
            answer = bob.ask(method, path)
            expected = {204, 400, 403, 404, 405, 409}
            if method == "HEAD":
                expected = {bob.ask("GET", path).status_code}
            if answer.status_code not in expected or leaks(answer, stage.alice):
                complaints.append(f"{method} {path} -> {answer.status_code}")
    assert complaints == []


def test_every_route_says_what_it_needs(stage: Stage):
    """What says nothing is for administrators alone, and named here."""
    undeclared = {str(each) for each in stage.operations if not stage.permits.declares(each.path)}
    assert undeclared == ADMINS_ONLY


def test_nothing_is_public_but_what_is_listed(stage: Stage):
    public = {str(each) for each in stage.operations if stage.scope(each) is None}
    assert public - PUBLIC == set()
