"""The OpenAPI document and its pages: complete, sound, and without the internet."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.conftest import Server, image_job
from tests.documents import ADDRESSES, whole_document

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
ROUTES = {
    ("post", "/v1/consumer/jobs"),
    ("get", "/v1/consumer/jobs"),
    ("put", "/v1/consumer/jobs"),
    ("delete", "/v1/consumer/jobs"),
    ("get", "/v1/consumer/jobs/{job_id}"),
    ("put", "/v1/consumer/jobs/{job_id}"),
    ("delete", "/v1/consumer/jobs/{job_id}"),
    ("post", "/v1/consumer/jobs/query"),
    ("get", "/v1/consumer/coverage"),
    ("get", "/v1/consumer/consumption"),
    ("get", "/v1/consumer/requests"),
    ("get", "/v1/producer/jobs/{job_id}/events"),
    ("get", "/v2/resources"),
    ("post", "/v2/resources"),
    ("get", "/v2/resources/{air}"),
    ("put", "/v2/resources/{air}"),
    ("patch", "/v2/resources/{air}"),
    ("delete", "/v2/resources/{air}"),
    ("get", "/api/v1/jobs"),
    ("post", "/api/v1/jobs"),
    ("get", "/api/v1/jobs/{job_id}"),
    ("post", "/api/v1/jobs/{job_id}/cancel"),
    ("post", "/api/v1/jobs/{job_id}/replay"),
    ("get", "/api/v1/jobs/{job_id}/events"),
    ("get", "/api/v1/nodes"),
    ("post", "/api/v1/nodes"),
    ("get", "/api/v1/nodes/{name}"),
    ("patch", "/api/v1/nodes/{name}"),
    ("delete", "/api/v1/nodes/{name}"),
    ("post", "/api/v1/nodes/{name}/drain"),
    ("delete", "/api/v1/nodes/{name}/drain"),
    ("post", "/api/v1/nodes/{name}/doctor"),
    ("get", "/api/v1/workflows"),
    ("post", "/api/v1/workflows"),
    ("get", "/api/v1/workflows/{name}"),
    ("put", "/api/v1/workflows/{name}"),
    ("delete", "/api/v1/workflows/{name}"),
    ("get", "/api/v1/workflows/{name}/versions"),
    ("post", "/api/v1/workflows/{name}"),
    ("post", "/api/v1/workflows/sd-text"),
    ("get", "/blobs/{name}"),
    ("get", "/health"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
}


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    return whole_document(server.url)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield method, path, operation


def values(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document but for those of examples."""
    if isinstance(value, dict):
        yield value
        for name, item in value.items():
            if name not in ("example", "examples"):
                yield from values(item)
    elif isinstance(value, list):
        for item in value:
            yield from values(item)


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"] == "Imagemill"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", document["info"]["version"])
    assert set(document) <= {"openapi", "info", "paths", "components", "tags", "servers", "security"}
    assert all(path.startswith("/") for path in document["paths"])


def test_every_route_is_in_it(document: dict[str, Any]) -> None:
    assert {(method, path) for method, path, _ in operations(document)} >= ROUTES


def test_every_operation_has_a_summary_a_tag_and_an_id_of_its_own(document: dict[str, Any]) -> None:
    everything = list(operations(document))

    assert [(method, path) for method, path, each in everything if len(each.get("summary", "")) < 5] == []
    assert [(method, path) for method, path, each in everything if not each.get("tags")] == []
    ids = [each["operationId"] for _, _, each in everything]
    assert len(set(ids)) == len(ids)


def test_every_operation_has_responses_that_are_described(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        assert operation["responses"], (method, path)
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d|default", status)
            assert "$ref" in response or response["description"], (method, path, status)


def test_path_parameters_are_declared_and_no_parameter_twice(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        parameters = operation.get("parameters", [])
        names = [(each["in"], each["name"]) for each in parameters]
        assert len(set(names)) == len(names), (method, path)
        in_path = {each["name"] for each in parameters if each["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path)), (method, path)
        assert all(each["required"] is True for each in parameters if each["in"] == "path")
        assert all("schema" in each or "content" in each for each in parameters)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for each in values(document):
        reference = each.get("$ref")
        if isinstance(reference, str):
            place: Any = document
            for part in reference.removeprefix("#/").split("/"):
                assert part in place, reference
                place = place[part]


def test_schemas_use_known_types_only(document: dict[str, Any]) -> None:
    types = {"null", "boolean", "object", "array", "number", "string", "integer"}
    bodies = [each["requestBody"] for _, _, each in operations(document) if "requestBody" in each]

    for schema in values([bodies, document["components"]["schemas"]]):
        kind = schema.get("type")
        if isinstance(kind, str):
            assert kind in types
        if isinstance(schema.get("required"), list):
            assert len(set(schema["required"])) == len(schema["required"])


def test_every_body_is_described(document: dict[str, Any]) -> None:
    described = {
        (method, path)
        for method, path, operation in operations(document)
        if operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    }

    assert described >= {
        ("post", "/v1/consumer/jobs"),
        ("post", "/v1/consumer/jobs/query"),
        ("put", "/v1/consumer/jobs"),
        ("put", "/v1/consumer/jobs/{job_id}"),
        ("post", "/v2/resources"),
        ("put", "/v2/resources/{air}"),
        ("patch", "/v2/resources/{air}"),
        ("post", "/api/v1/jobs"),
        ("post", "/api/v1/nodes"),
        ("patch", "/api/v1/nodes/{name}"),
        ("post", "/api/v1/workflows"),
        ("put", "/api/v1/workflows/{name}"),
        ("post", "/api/v1/workflows/{name}"),
        ("post", "/api/v1/workflows/flux-text"),
    }


def test_query_parameters_are_described(document: dict[str, Any]) -> None:
    def names(method: str, path: str) -> set[str]:
        parameters = document["paths"][path][method].get("parameters", [])
        return {each["name"] for each in parameters if each["in"] == "query"}

    assert names("post", "/v1/consumer/jobs") == {"wait", "detailed", "whatif", "charge"}
    assert names("get", "/v1/consumer/jobs") == {"token", "wait", "detailed"}
    assert names("delete", "/v1/consumer/jobs") == {"token", "force"}
    assert names("get", "/v1/consumer/coverage") == {"model"}
    assert names("get", "/v1/consumer/consumption") == {"startDate", "endDate"}
    assert names("get", "/v1/consumer/requests") == {"cursor", "take"}
    assert names("get", "/v1/producer/jobs/{job_id}/events") == {"take", "descending"}
    assert names("get", "/v2/resources") == {"limit", "page", "q", "view", "cursor", "take"}
    assert names("get", "/api/v1/jobs") == {
        *(
            "limit",
            "cursor",
            "owner",
            "id",
            "status",
            "recipe",
            "node",
            "model",
            "error",
            "label",
            "replayed",
        ),
        *("text", "olderThan", "newerThan", "batch", "character", "book"),
    }
    assert names("get", "/api/v1/jobs/{job_id}/events") == {"after", "stream", "owner"}


def test_the_fields_of_a_job_are_those_that_are_read(document: dict[str, Any], server: Server) -> None:
    schema = document["paths"]["/v1/consumer/jobs"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    template = next(each for each in values(schema) if "additionalNetworks" in each.get("properties", {}))

    assert {"$type", "model", "params", "quantity", "batchSize", "callbackUrl"} <= set(template["properties"])
    assert server.submit(image_job(), whatif="true").status_code == 200


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_document_names_no_schema_that_it_lacks(server: Server, address: str) -> None:
    document = server.client.get(address).json()
    assert all(
        path.startswith(("/v1/", "/v2/consumer/", "/fal")) is (address != "/openapi.json")
        for path in document["paths"]
    )
    test_every_reference_leads_somewhere(document)


@pytest.mark.parametrize("page", ["/docs", "/redoc", "/docs/fal", "/docs/civitai-v1", "/docs/civitai-v2"])
def test_a_documentation_page_needs_no_internet(server: Server, page: str) -> None:
    text = httpx2.get(server.url + page, verify=False).text

    assert re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text) == []
    assert "http://" not in text
    assert "https://" not in text
    for link in re.findall(r"""(?:src|href)="([^"]+)\"""", text):
        asset = httpx2.get(server.url + link, verify=False)
        assert asset.status_code == 200, link
        assert len(asset.content) > 100
