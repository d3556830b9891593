"""The model registry over HTTP: page, search, register, replace, change, remove."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import LORA, SD1, SDXL, Server, image_job
from tests.http.support import first, problem

FLUX = "urn:air:flux1:checkpoint:civitai:618692@691639"
SCHNELL = "urn:air:flux1:checkpoint:civitai:618692@699279"
WHOLE = {
    "air": "urn:air:sdxl:checkpoint:civitai:9000@9001",
    "modelName": "Nebel",
    "versionName": "v2",
    "description": "größer als zuvor",
    "type": "Checkpoint",
    "nsfw": False,
    "allowCommercialUse": ["Sell", "Rent"],
    "tags": ["fog", "coast"],
    "size": 6_938_078_334,
    "hashes": {
        "AutoV1": "a",
        "AutoV2": "b",
        "AutoV3": "c",
        "SHA256": "d",
        "CRC32": "e",
        "BLAKE3": "f",
    },
    "downloadUrls": ["https://example.com/model"],
    "fileFormat": "safeTensor",
    "fileName": "own/nebel.safetensors",
    "canGenerate": True,
    "publishedAt": "2025-01-01T00:00:00Z",
    "trainedWords": ["nebel"],
}


@pytest.fixture
def registry(make_server: Callable[..., Server]) -> Server:
    """A server of its own, with the models it is filled with at first start."""
    return make_server()


def path_of(air: str) -> str:
    return f"/v2/resources/{quote(air, safe='')}"


def airs(server: Server, **query: Any) -> list[str]:
    answer = server.client.get("/v2/resources", params=query)
    assert answer.status_code == 200, answer.text
    return [item["air"] for item in answer.json()["items"]]


def test_an_empty_registry_is_filled_with_the_models_of_the_samples(registry: Server) -> None:
    body = registry.client.get("/v2/resources").json()

    assert {name: body[name] for name in ("page", "limit", "total")} == {"page": 1, "limit": 20, "total": 5}
    assert {item["air"] for item in body["items"]} == {SD1, SDXL, LORA, FLUX, SCHNELL}


def test_filling_is_a_setting(make_server: Callable[..., Server]) -> None:
    assert airs(make_server(resources={"seed": False})) == []


def test_a_registered_model_is_read_back_whole(registry: Server) -> None:
    created = registry.client.post("/v2/resources", json=WHOLE)
    read = registry.client.get(path_of(WHOLE["air"]))

    assert created.status_code == 201
    assert {name: read.json()[name] for name in WHOLE} == WHOLE
    assert {name: created.json()[name] for name in WHOLE} == WHOLE
    assert read.json()["path"] == "own/nebel.safetensors"


def test_a_second_registration_with_other_fields_is_a_conflict_in_any_case(registry: Server) -> None:
    registry.client.post("/v2/resources", json=WHOLE)
    air = WHOLE["air"]
    for spelling in (air, air.upper(), air[4:]):
        answer = registry.client.post("/v2/resources", json={"air": spelling, "modelName": "Another"})
        assert "registered already" in problem(answer, 409)["detail"]


def test_a_repeated_registration_is_no_conflict(registry: Server) -> None:
    first_answer = registry.client.post("/v2/resources", json=WHOLE)
    again = registry.client.post("/v2/resources", json=WHOLE)

    assert again.status_code == 200
    assert again.json() == first_answer.json()


def test_a_client_may_describe_a_model_of_the_samples(registry: Server) -> None:
    body = {"air": SD1, "modelName": "Dreams", "tags": ["mine"]}
    described = registry.client.post("/v2/resources", json=body)
    other = registry.client.post("/v2/resources", json={**body, "tags": ["yours"]})

    assert described.status_code == 201
    assert described.json()["modelName"] == "Dreams"
    assert described.json()["versionName"] == "8"
    assert "registered already" in problem(other, 409)["detail"]


def test_an_answer_can_be_put_back(registry: Server) -> None:
    posted = {**WHOLE, "resourceName": "Nebel v2", "popularityRank": 0.5, "isFeatured": True}
    posted |= {"requiresAuthorization": True, "hasNSFWContentRestriction": True, "checkPermission": False}
    read = registry.client.post("/v2/resources", json=posted).json()

    answer = registry.client.put(path_of(WHOLE["air"]), json=read)

    assert answer.status_code == 200
    assert answer.json() | {"updatedAt": ""} == read | {"updatedAt": ""}
    assert {name: read[name] for name in posted} == posted


CIVITAI = {
    "air": "urn:air:flux1:lora:civitai:310001@410001",
    "size": 306_000_000,
    "hashes": {"AutoV1": "0A1B2C3D", "SHA256": "AB" * 32, "BLAKE3": "CD" * 32},
    "downloadUrls": ["https://models.example/api/download/410001"],
    "modelName": "Paper lanterns",
    "resourceName": "Paper lanterns",
    "versionName": "flux",
    "checkPermission": False,
    "canGenerate": True,
    "requiresAuthorization": True,
    "fileFormat": "safeTensor",
    "hasMatureContentRestriction": False,
    "hasNSFWContentRestriction": False,
    "popularityRank": 0.9,
    "isFeatured": False,
    "publishedAt": "2024-10-09T11:54:46.826Z",
    "invalidateAt": "2026-12-01T00:00:00Z",
    "earlyAccessEndsAt": "2026-12-24T00:00:00Z",
    "freeTrialLimit": 5,
    "fee": {"amount": 1.5, "type": "perImageBuzz", "settlementCurrency": "buzz"},
    "fees": [
        {
            "amount": 2,
            "type": "perImageBuzz",
            "settlementCurrency": "cash",
            "recipientModelVersionId": 410001,
        }
    ],
    "payoutEnabled": True,
    "userId": 77,
    "availability": {"status": "loading", "progress": 0.5, "workers": 2, "etaSeconds": 3},
}
"""A document as Civitai's own API answers it."""


def test_a_document_of_civitai_is_registered_whole(registry: Server) -> None:
    created = registry.client.post("/v2/resources", json=CIVITAI)
    read = registry.client.get(path_of(CIVITAI["air"])).json()

    assert created.status_code == 201
    assert {name: read[name] for name in CIVITAI} == {
        **CIVITAI,
        "availability": {"status": "available", "workers": 1},
    }
    assert registry.client.post("/v2/resources", json=CIVITAI).status_code == 200


KINDS: list[dict[str, Any]] = [
    CIVITAI,
    WHOLE,
    {"air": SD1},
    {"air": "urn:air:sd1:lora:civitai:1@2+3.gguf"},
    {"air": "urn:air:zimageturbo:diffusionmodel:civitai:5@6", "type": "Checkpoint"},
    {"air": "urn:air:sd1:embedding:civitai:7@8", "type": "TextualInversion", "trainedWords": ["w"]},
    {"air": "urn:air:sdxl:lycoris:civitai:9@10", "type": "LoCon", "baseModel": "Pony"},
    {"air": "urn:air:sd1:hypernet:civitai:11@12", "fileFormat": "PickleTensor"},
    {"air": "urn:air:other:upscaler:civitai:147759@164821", "fileName": "4x.pth"},
    {"air": "urn:air:flux1:checkpoint:huggingface:org/name@main/file.safetensors"},
    {"air": "urn:air:other:other:civitai-r2:assets@sam_vit_b.pth"},
    {"air": "urn:air:sdxl:checkpoint:file:XL-juggernaut-v9.safetensors@XL/juggernaut%20v9.safetensors"},
    {"air": "urn:air:oci:image:ghcr:org/x@sha256:abc"},
]


@pytest.mark.parametrize("document", KINDS, ids=[each["air"][8:40] for each in KINDS])
def test_any_answer_can_be_put_back_and_changes_nothing(registry: Server, document: dict[str, Any]) -> None:
    registry.client.post("/v2/resources", json=document)
    path = path_of(document["air"])
    read = registry.client.get(path)

    answer = registry.client.put(path, json=read.json())

    assert (read.status_code, answer.status_code) == (200, 200)
    assert registry.client.get(path).json() == read.json()


@pytest.mark.parametrize("spelling", ["LORA", "LoCon", "DORA", "TextualInversion", "Checkpoint"])
def test_a_word_for_another_type_is_refused(server: Server, spelling: str) -> None:
    body = {"air": "urn:air:sd1:vae:civitai:5@6", "type": spelling}

    message = problem(server.client.post("/v2/resources", json=body), 400)["errors"]["type"][0]

    assert f"{spelling!r}, but the AIR is of a vae" in message


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_type_that_contradicts_the_air_is_refused(server: Server, method: str) -> None:
    path = "/v2/resources" if method == "POST" else path_of(SD1)
    body = {"type": "LORA"} if method == "PATCH" else {"air": SD1, "type": "LORA"}

    message = problem(server.client.request(method, path, json=body), 400)["errors"]["type"][0]

    assert "'LORA'" in message
    assert "checkpoint" in message


@pytest.mark.parametrize(
    ("air", "lacks"),
    [
        ("civitai:9000@9001", "no ecosystem and no type"),
        ("lora:civitai:9000@9001", "no ecosystem;"),
        ("sdxl:civitai:9000@9001", "no type;"),
    ],
)
def test_a_model_is_registered_by_its_whole_air(server: Server, air: str, lacks: str) -> None:
    answer = server.client.post("/v2/resources", json={"air": air})

    assert f"names {lacks}" in problem(answer, 400)["errors"]["air"][0]
    assert "write the whole AIR" in problem(answer, 400)["errors"]["air"][0]


def test_pages_cover_everything_once(registry: Server) -> None:
    for number in range(7):
        registry.client.post("/v2/resources", json={"air": f"urn:air:sd1:lora:civitai:1@{number + 1}"})

    pages = [airs(registry, limit=4, page=page) for page in (1, 2, 3, 4)]

    assert [len(page) for page in pages] == [4, 4, 4, 0]
    assert len({air for page in pages for air in page}) == 12
    assert registry.client.get("/v2/resources", params={"limit": 4}).json()["total"] == 12


@pytest.mark.parametrize("limit", [1, 100])
def test_a_page_may_hold_1_to_100(server: Server, limit: int) -> None:
    assert len(airs(server, limit=limit)) == min(limit, 5)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sdxl", {SDXL}),
        ("SDXL", {SDXL}),
        ("checkpoint", {SD1, SDXL, FLUX, SCHNELL}),
        ("lora", {LORA}),
        ("128713", {SD1}),
        ("dreamshaper", {SD1}),
        ("sd xl", {SDXL}),
        ("detail", {LORA}),
        ("%", set()),
        ("_", set()),
        ("nothing like it", set()),
        ("", {SD1, SDXL, LORA, FLUX, SCHNELL}),
    ],
)
def test_a_search_looks_through_airs_names_and_tags(server: Server, query: str, found: set[str]) -> None:
    assert set(airs(server, q=query)) == found


def test_a_search_follows_a_change(registry: Server) -> None:
    registry.client.patch(path_of(SD1), json={"tags": ["seaside"], "modelName": "Küste"})

    assert airs(registry, q="seaside") == [SD1]
    assert airs(registry, q="küste") == [SD1]
    assert airs(registry, q="dreamshaper") == []


@pytest.mark.parametrize(
    "spelling",
    [SD1, SD1.upper(), SD1[4:], SD1[8:], "@civitai/128713", "%40civitai%2F128713", quote(SD1, safe="")],
)
def test_a_model_is_found_by_every_form_of_its_air(server: Server, spelling: str) -> None:
    answer = server.client.get(f"/v2/resources/{spelling}")

    assert answer.status_code == 200, answer.text
    assert answer.json()["air"] == SD1


def test_an_air_may_hold_slashes_encoded_or_not(registry: Server) -> None:
    air = "urn:air:flux1:checkpoint:huggingface:org/name@main/file.safetensors"
    assert registry.client.post("/v2/resources", json={"air": air}).status_code == 201

    for path in (f"/v2/resources/{air}", path_of(air)):
        assert registry.client.get(path).json()["air"] == air
        assert registry.client.patch(path, json={"nsfw": True}).status_code == 200
    assert registry.client.delete(path_of(air)).status_code == 204


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("air", ["urn:air:sd1:checkpoint:civitai:1@2", "@civitai/2"])
def test_an_absent_model_is_a_404(server: Server, method: str, air: str) -> None:
    body = {"air": air} if method == "PUT" and air.startswith("urn") else {"air": "urn:air:a:lora:b:1@2"}
    answer = server.client.request(method, path_of(air), json={} if method == "PATCH" else body)

    assert air in problem(answer, 404)["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("air", ["nonsense", "@civitai/x", "a b", "größe"])
def test_a_path_that_is_no_air_is_a_400(server: Server, method: str, air: str) -> None:
    body = {} if method == "PATCH" else {"air": SD1}
    answer = server.client.request(method, path_of(air), json=body)

    assert "urn:air:" in problem(answer, 400)["errors"]["air"][0]


def test_a_put_replaces_everything_but_the_air(registry: Server) -> None:
    registry.client.post("/v2/resources", json=WHOLE)

    answer = registry.client.put(
        path_of(WHOLE["air"]), json={"air": WHOLE["air"].upper(), "modelName": "Neu"}
    )

    assert answer.status_code == 200
    assert answer.json()["modelName"] == "Neu"
    assert answer.json()["tags"] == []
    assert answer.json()["fileName"] is None


def test_a_put_may_not_name_another_air(server: Server) -> None:
    answer = server.client.put(path_of(SD1), json={"air": SDXL})

    message = problem(answer, 400)["errors"]["air"][0]
    assert SD1 in message
    assert SDXL in message


def test_a_patch_changes_what_it_names_and_null_puts_back(registry: Server) -> None:
    registry.client.post("/v2/resources", json=WHOLE)

    answer = registry.client.patch(path_of(WHOLE["air"]), json={"nsfw": True, "fileName": None, "size": None})

    assert answer.status_code == 200
    changed = {name: value for name, value in answer.json().items() if WHOLE.get(name, value) != value}
    assert changed == {"nsfw": True, "fileName": None, "size": 0}
    assert answer.json()["path"] == "sdxl/civitai/9000/9001.safetensors"


@pytest.mark.parametrize("air", [SD1, SDXL, None, 5])
def test_a_patch_may_not_name_an_air(server: Server, air: Any) -> None:
    answer = server.client.patch(path_of(SD1), json={"air": air})

    assert "cannot be changed" in problem(answer, 400)["errors"]["air"][0]


def test_a_removed_model_is_gone_and_refused_in_jobs(registry: Server) -> None:
    removed = registry.client.delete(path_of(SD1))

    assert (removed.status_code, removed.content) == (204, b"")
    problem(registry.client.get(path_of(SD1)), 404)
    problem(registry.client.delete(path_of(SD1)), 404)
    assert "register" in problem(registry.submit(image_job()), 400)["errors"]["model"][0]


def test_a_registered_model_can_be_used_at_once(registry: Server) -> None:
    registry.client.post("/v2/resources", json=WHOLE)

    status = first(registry.submit(image_job(model="@civitai/9001"), wait="true"))

    assert status["result"]["available"] is True
    assert "own/nebel.safetensors" in status["lastEvent"]["context"]["comfy_prompt_request"]


def test_a_short_form_with_two_meanings_asks_for_the_whole_air(registry: Server) -> None:
    twin = "urn:air:sd1:lora:civitai:77@128713"
    registry.client.post("/v2/resources", json={"air": twin})

    message = problem(registry.client.get("/v2/resources/@civitai/128713"), 400)["errors"]["air"][0]

    assert SD1 in message
    assert twin in message


@pytest.mark.parametrize("strict", [True, False])
def test_an_unregistered_network_passes_only_a_registry_that_is_not_strict(
    make_server: Callable[..., Server], strict: bool
) -> None:
    server = make_server(resources={"strict": strict})
    unknown = "urn:air:sd1:lora:civitai:5@6"

    answer = server.submit(image_job(additionalNetworks={unknown: {}}), wait="true")

    if strict:
        told = problem(answer, 400)
        assert unknown in told["detail"]
        assert "imagemill resources add" in told["detail"]
        assert list(told["errors"]) == [f"additionalNetworks[{unknown!r}]"]
    else:
        assert first(answer)["result"]["available"] is True


@pytest.mark.parametrize("strict", [True, False])
def test_an_unregistered_checkpoint_is_always_refused(
    make_server: Callable[..., Server], strict: bool
) -> None:
    server = make_server(resources={"strict": strict})

    told = problem(server.submit(image_job(model="urn:air:sd1:checkpoint:civitai:5@6")), 400)

    assert "POST /v2/resources" in told["errors"]["model"][0]


BAD: list[tuple[Any, str, str]] = [
    ({}, "air", "required"),
    ({"air": 5}, "air", "text"),
    ({"air": ""}, "air", "urn:air:"),
    ({"air": "nonsense"}, "air", "urn:air:"),
    ({"air": "@civitai/5"}, "air", "urn:air:"),
    ({"air": "urn:air:sd1:lora:civitai:5"}, "air", "@<version>"),
    ({"air": "x" * 600}, "air", "512"),
    ({"air": "a:b:c:" + "d" * 504 + "@1"}, "air", "512"),
    ({"air": f"urn:air:sd1:{'t' * 65}:own:5@6"}, "air", "64"),
    ({"modelname": "x"}, "modelname", "did you mean 'modelName'"),
    ({"colour": "x"}, "colour", "modelName"),
    ({"modelName": 5}, "modelName", "text"),
    ({"modelName": "x" * 201}, "modelName", "200"),
    ({"tags": "fog"}, "tags", "list"),
    ({"tags": [5]}, "tags[0]", "text"),
    ({"tags": ["x"] * 101}, "tags", "100"),
    ({"size": -1}, "size", "0"),
    ({"size": True}, "size", "number"),
    ({"size": 2**60}, "size", "9007199254740992"),
    ({"size": "big"}, "size", "whole number"),
    ({"hashes": {"MD5": "x"}}, "hashes.MD5", "SHA256"),
    ({"hashes": []}, "hashes", "object"),
    ({"hashes": {"SHA256": 5}}, "hashes.SHA256", "text"),
    ({"fileFormat": "safetensorz"}, "fileFormat", "did you mean 'safeTensor'"),
    ({"fileName": "../../etc/passwd"}, "fileName", "relative"),
    ({"fileName": "/etc/passwd"}, "fileName", "relative"),
    ({"fileName": "a\\b"}, "fileName", "relative"),
    ({"fileName": ""}, "fileName", "1"),
    ({"nsfw": "perhaps"}, "nsfw", "true or false"),
    ({"allowCommercialUse": [5]}, "allowCommercialUse", "Sell"),
    ({"allowCommercialUse": {}}, "allowCommercialUse", "Sell"),
    ({"downloadUrls": "x"}, "downloadUrls", "list"),
    ({"trainedWords": [["x"]]}, "trainedWords[0]", "text"),
    ({"fee": {"amount": -1}}, "fee.amount", "0"),
    ({"fee": {"type": "perImageBuzz"}}, "fee.amount", "required"),
    ({"fees": [{"amount": 1, "type": "perDay"}]}, "fees[0].type", "perImageBuzz"),
    ({"userId": -1}, "userId", "0"),
    ([], "body", "object"),
    ("text", "body", "object"),
]


@pytest.mark.parametrize(("body", "path", "word"), BAD, ids=[f"{n}-{row[1]}" for n, row in enumerate(BAD)])
def test_a_wrong_field_is_named_with_what_would_be_right(
    server: Server, body: Any, path: str, word: str
) -> None:
    if isinstance(body, dict) and path != "air":
        body = {"air": WHOLE["air"], **body}
    before = server.client.get("/v2/resources").json()

    told = problem(server.client.post("/v2/resources", json=body), 400)

    assert list(told["errors"]) == [path]
    assert word in told["errors"][path][0]
    assert server.client.get("/v2/resources").json() == before


@pytest.mark.parametrize("spelling", ["safeTensor", "safetensor", "SAFETENSOR"])
def test_a_file_format_is_read_in_any_case(registry: Server, spelling: str) -> None:
    answer = registry.client.patch(path_of(SD1), json={"fileFormat": spelling, "allowCommercialUse": "Sell"})

    assert answer.json()["fileFormat"] == "safeTensor"
    assert answer.json()["allowCommercialUse"] == "Sell"
