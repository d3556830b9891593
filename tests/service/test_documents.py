"""Documents about models: of MongoDB, of Civitai's site, and others that describe no model."""

from typing import Any

import pytest

from imagemill.model_registry.documents import UnreadableDocument, read_document

FILES = [
    {"id": 1, "name": "training.zip", "type": "Training Data", "sizeKB": 1},
    {
        "id": 2,
        "name": "lanternMix_v3.safetensors",
        "type": "Model",
        "primary": True,
        "sizeKB": 6775430.5,
        "metadata": {"format": "SafeTensor", "fp": "fp16"},
        "hashes": {"SHA256": "AB", "AutoV2": "CD", "Other": "EF"},
        "downloadUrl": "https://models.example/download/12",
    },
]
MODEL: dict[str, Any] = {
    "id": 11,
    "name": "Lantern Mix",
    "type": "Checkpoint",
    "nsfw": False,
    "allowCommercialUse": ["Image", "Rent"],
    "description": "<p>Warm <b>light</b></p>",
    "tags": ["lamp", {"name": "night"}],
    "stats": {"downloadCount": 5},
    "modelVersions": [
        {"id": 12, "name": "v3", "baseModel": "Pony", "files": FILES, "trainedWords": ["lamp "]},
        {"id": 13, "name": "v2", "baseModel": "SDXL 1.0", "files": []},
    ],
}


def test_a_model_of_the_site_has_a_resource_a_version():
    newest, older = read_document(MODEL)
    assert newest.fields == {
        "air": "urn:air:sdxl:checkpoint:civitai:11@12",
        "modelName": "Lantern Mix",
        "versionName": "v3",
        "description": "Warm light",
        "baseModel": "Pony",
        "nsfw": False,
        "allowCommercialUse": ["Image", "Rent"],
        "tags": ["lamp", "night"],
        "trainedWords": ["lamp"],
        "downloadUrls": ["https://models.example/download/12"],
        "hashes": {"SHA256": "AB", "AutoV2": "CD"},
        "fileFormat": "safeTensor",
        "size": 6938040832,
    }
    assert newest.defaults == {"fileName": "lanternMix_v3.safetensors"}
    assert (older.fields["air"], older.defaults) == ("urn:air:sdxl:checkpoint:civitai:11@13", {})


@pytest.mark.parametrize(
    ("type_", "base", "air"),
    [
        ("LORA", "Flux.1 D", "urn:air:flux1:lora:civitai:11@12"),
        ("LoCon", "Illustrious", "urn:air:sdxl:lycoris:civitai:11@12"),
        ("TextualInversion", "SD 1.5", "urn:air:sd1:embedding:civitai:11@12"),
        ("VAE", "SDXL 1.0", "urn:air:sdxl:vae:civitai:11@12"),
        ("Controlnet", "SD 1.5", "urn:air:sd1:controlnet:civitai:11@12"),
        ("Upscaler", "Other", "urn:air:other:upscaler:civitai:11@12"),
        ("Checkpoint", "ZImageTurbo", "urn:air:zimageturbo:checkpoint:civitai:11@12"),
        ("Hypernetwork", "SD 1.5", "urn:air:sd1:hypernet:civitai:11@12"),
    ],
)
def test_a_version_of_the_site_is_named_by_its_type_and_base_model(type_: str, base: str, air: str):
    version = {"id": 12, "modelId": 11, "baseModel": base, "model": {"name": "x", "type": type_}}
    (found,) = read_document(version)
    assert found.fields["air"] == air
    assert found.fields["baseModel"] == base


def test_the_air_that_a_version_states_is_kept():
    version = {"id": 12, "modelId": 11, "baseModel": "A new one", "air": "urn:air:newone:lora:civitai:11@12"}
    (found,) = read_document(version)
    assert found.fields["air"] == "urn:air:newone:lora:civitai:11@12"


def test_a_page_of_the_site_is_read_model_by_model():
    found = read_document({"items": [MODEL, MODEL], "metadata": {}})
    assert len(found) == 4


def test_a_document_of_mongodb_is_read_in_plain_json():
    (found,) = read_document(
        {
            "_id": {"$oid": "65f0c0ffee0000000000cafe"},
            "__v": {"$numberInt": "0"},
            "air": "urn:air:sd1:lora:civitai:5@6",
            "size": {"$numberLong": "306000000"},
            "popularityRank": {"$numberDouble": "0.25"},
            "createdAt": {"$date": "2025-09-06T18:18:30.707Z"},
            "publishedAt": {"$date": {"$numberLong": "1700000000000"}},
            "hashes": {"SHA256": "AB"},
            "likes": 3,
        }
    )
    assert found.fields == {
        "air": "urn:air:sd1:lora:civitai:5@6",
        "size": 306000000,
        "popularityRank": 0.25,
        "createdAt": "2025-09-06T18:18:30.707Z",
        "publishedAt": "2023-11-14T22:13:20+00:00",
        "hashes": {"SHA256": "AB"},
        "likes": 3,
    }


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"_id": {"$oid": "a"}, "jobId": "b", "params": {}}, "only models are imported, jobs are not"),
        ({"token": "x", "jobs": []}, "jobs are not"),
        ({"$type": "textToImage", "model": "x"}, "jobs are not"),
        ({"jobId": "b", "type": "Succeeded", "dateTime": "x"}, "event"),
        ({"id": 1, "type": "Checkpoint", "modelVersions": []}, "without versions"),
        ({**MODEL, "type": "Workflows"}, "type 'Workflows', which jobs cannot name"),
        (
            {"id": 2, "modelId": 1, "baseModel": "Nova", "model": {"type": "LORA"}},
            "'Nova', which is not known",
        ),
    ],
)
def test_a_document_that_describes_no_model_is_refused(document: dict[str, Any], words: str):
    with pytest.raises(UnreadableDocument, match=words.replace("(", r"\(")):
        read_document(document)


@pytest.mark.parametrize(
    "document",
    [
        {"items": [None, 5, "x"]},
        {"modelVersions": [5, None], "id": 1},
        {"modelVersions": [{"files": "x", "id": None}], "type": {"a": 1}},
        {"modelId": 1, "baseModel": 5, "model": "x", "files": [{"hashes": 5, "metadata": [], "name": 7}]},
        {"size": {"$numberLong": {}}, "air": {"$oid": [1]}},
        {"size": {"$numberDouble": "NaN"}, "air": None},
    ],
)
def test_nonsense_is_refused_or_left_to_the_check_of_its_fields(document: dict[str, Any]):
    try:
        found = read_document(document)
    except UnreadableDocument:
        found = []
    assert all(isinstance(each.fields, dict) for each in found)
