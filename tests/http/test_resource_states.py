"""The state of a model on the nodes, as `GET /v2/resources/{air}`, the queue and v1's coverage give it."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.comfyui.node import TestNode
from tests.conftest import LORA, SD1, SDXL, Server, image_job
from tests.http.support import first, problem, until

SLOW_MS = 600_000


def state(server: Server, air: str) -> dict[str, Any]:
    answer = server.client.get(f"/v2/resources/{quote(air, safe='')}")
    assert answer.status_code == 200, answer.text
    return answer.json()["availability"]


def queue(server: Server, **query: Any) -> dict[str, Any]:
    answer = server.client.get("/v2/resources", params={"view": "queue", **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_simulator_has_every_model(server: Server) -> None:
    for air in (SD1, SDXL, LORA):
        assert state(server, air) == {"status": "available", "workers": 1}
    assert queue(server) == {"next": None, "items": []}


def test_a_model_that_no_node_has_is_unavailable(make_server: Callable[..., Server]) -> None:
    server = make_server(simulator={"models": [SDXL], "nodes": 2})

    assert state(server, SD1) == {"status": "unavailable"}
    assert state(server, SDXL) == {"status": "available", "workers": 2}
    assert state(server, LORA) == {"status": "available", "workers": 2}


def test_a_model_that_is_loaded_for_a_job_is_loading(make_server: Callable[..., Server]) -> None:
    server = make_server(simulator={"load_ms": SLOW_MS})
    job = first(server.submit(image_job()))["jobId"]
    until(lambda: state(server, SD1)["status"] == "loading")

    loading = state(server, SD1)
    assert (loading["status"], loading["workers"]) == ("loading", 1)
    assert 0 <= loading["progress"] < 0.5
    assert SLOW_MS / 2000 < loading["etaSeconds"] <= SLOW_MS / 1000
    assert state(server, SDXL) == {"status": "available", "workers": 1}
    (item,) = queue(server)["items"]
    assert item["air"] == SD1
    assert item["availability"]["startedAt"] == loading["startedAt"]
    server.client.delete(f"/v1/consumer/jobs/{job}")
    until(lambda: not queue(server)["items"])
    assert state(server, SD1)["status"] == "available"


def test_a_model_is_available_while_another_node_has_it_loaded(make_server: Callable[..., Server]) -> None:
    server = make_server(simulator={"nodes": 2, "slots": 1, "step_ms": 1, "load_ms": 100})
    first(server.submit(image_job(), wait="true"))

    assert state(server, SD1) == {"status": "available", "workers": 2}


def test_the_queue_is_read_in_pages(make_server: Callable[..., Server]) -> None:
    server = make_server(simulator={"load_ms": SLOW_MS, "nodes": 3, "slots": 1})
    for model in (SD1, SDXL, "@civitai/691639"):
        first(server.submit(image_job(model=model)))
    until(lambda: len(queue(server)["items"]) == 3)

    page = queue(server, take=2)
    rest = queue(server, take=2, cursor=page["next"])

    assert len(page["items"]) == 2
    assert rest["next"] is None
    found = [item["air"] for item in page["items"] + rest["items"]]
    assert found == sorted(found)
    assert {SD1, SDXL} < set(found)


@pytest.mark.parametrize(
    ("query", "field"), [({"view": "all"}, "view"), ({"view": "queue", "take": 0}, "take")]
)
def test_a_wrong_query_of_the_queue_is_refused(server: Server, query: dict[str, Any], field: str) -> None:
    answer = server.client.get("/v2/resources", params=query)

    assert problem(answer, 400)["errors"][field]


@pytest.fixture
def node() -> Iterator[TestNode]:
    models = {"checkpoints": ["dreamshaper_8.safetensors"], "loras": ["more_details.safetensors"]}
    with TestNode(models=models) as node:
        yield node


@pytest.fixture
def attic(node: TestNode, make_server: Callable[..., Server]) -> Server:
    """A server with one ComfyUI node, whose files are registered."""
    server = make_server()
    added = server.client.post("/api/v1/nodes", json={"name": "attic", "url": node.url})
    assert added.status_code == 201, added.text
    until(lambda: server.client.get("/api/v1/models", params={"node": "attic"}).json()["items"])
    imported = server.client.post("/api/v1/models/import", json={"node": "attic"})
    assert {item["state"] for item in imported.json()["items"]} == {"linked"}
    return server


def test_a_node_is_counted_by_the_files_it_lists(attic: Server) -> None:
    assert state(attic, SD1) == {"status": "available", "workers": 1}
    assert state(attic, LORA) == {"status": "available", "workers": 1}
    assert state(attic, SDXL) == {"status": "unavailable"}


def test_coverage_counts_the_slots_of_nodes_with_a_lora(attic: Server) -> None:
    body = attic.client.get("/v1/consumer/coverage", params={"model": [LORA, SD1, SDXL]}).json()

    assert body[LORA] == body[SD1]
    assert (body[LORA]["availability"], body[SDXL]["availability"]) == ("Available", "Unavailable")


def test_a_checkpoint_that_a_comfyui_node_reads_is_loading(make_server: Callable[..., Server]) -> None:
    with TestNode(models={"checkpoints": ["dreamshaper_8.safetensors"]}, load_s=SLOW_MS / 1000) as node:
        server = make_server()
        server.client.post("/api/v1/nodes", json={"name": "attic", "url": node.url})
        until(lambda: server.client.get("/api/v1/models", params={"node": "attic"}).json()["items"])
        server.client.post("/api/v1/models/import", json={"node": "attic"})
        job = first(server.submit(image_job()))["jobId"]
        until(lambda: server.client.get("/api/v1/nodes/attic").json()["seen"]["resident"])

        loading = state(server, SD1)

        assert {name: loading[name] for name in ("status", "progress", "workers")} == {
            "status": "loading",
            "progress": 0,
            "workers": 1,
        }
        assert "etaSeconds" not in loading
        assert [item["air"] for item in queue(server)["items"]] == [SD1]
        server.client.delete(f"/v1/consumer/jobs/{job}")
        until(lambda: state(server, SD1)["status"] == "available")


def test_a_family_that_no_graph_is_built_for_is_unsupported(attic: Server) -> None:
    for air in ("urn:air:nosuchfamily:checkpoint:civitai:1@2", "urn:air:nosuchfamily:lora:civitai:1@3"):
        assert attic.client.post("/v2/resources", json={"air": air}).status_code == 201
        assert state(attic, air) == {"status": "unsupported"}
        coverage = attic.client.get("/v1/consumer/coverage", params={"model": air}).json()
        assert coverage[air] == {"availability": "Unsupported", "workers": 0}
    upscaler = "urn:air:other:upscaler:civitai:147759@164821"
    assert attic.client.post("/v2/resources", json={"air": upscaler}).status_code == 201
    assert state(attic, upscaler) == {"status": "unavailable"}


SPLIT = {
    "urn:air:zimageturbo:diffusionmodel:civitai:1@2": "z_image_turbo_bf16.safetensors",
    "urn:air:wanvideo22-ti2v-5b:checkpoint:civitai:3@4": "wan2.2_ti2v_5B_fp16.safetensors",
}
COMPANIONS = {
    "text_encoders": ["qwen_3_4b.safetensors", "umt5_xxl_fp8_e4m3fn_scaled.safetensors"],
    "vae": ["ae.safetensors", "wan2.2_vae.safetensors"],
}


@pytest.mark.parametrize("companions", [COMPANIONS, {}], ids=["whole", "without text encoder and VAE"])
def test_a_model_of_several_files_is_available_where_all_of_them_are(
    make_server: Callable[..., Server], companions: dict[str, list[str]]
) -> None:
    with TestNode(models={"diffusion_models": list(SPLIT.values()), **companions}) as node:
        server = make_server()
        server.client.post("/api/v1/nodes", json={"name": "attic", "url": node.url})
        until(lambda: server.client.get("/api/v1/models", params={"node": "attic"}).json()["items"])
        for air, file in SPLIT.items():
            server.client.post("/v2/resources", json={"air": air, "fileName": file})

            found = state(server, air)

            assert found == (
                {"status": "available", "workers": 1} if companions else {"status": "unavailable"}
            )


def test_a_file_that_is_named_later_is_seen_at_once(attic: Server) -> None:
    air = "urn:air:sd1:checkpoint:civitai:9@10"
    attic.client.post("/v2/resources", json={"air": air})
    assert state(attic, air) == {"status": "unavailable"}

    attic.client.patch(f"/v2/resources/{quote(air, safe='')}", json={"fileName": "dreamshaper_8.safetensors"})

    assert state(attic, air) == {"status": "available", "workers": 1}


def test_a_draining_node_has_no_models_to_offer(attic: Server) -> None:
    assert attic.client.post("/api/v1/nodes/attic/drain").is_success

    until(lambda: state(attic, SD1) == {"status": "unavailable"})


def test_a_file_of_a_node_on_windows_can_be_put_back(make_server: Callable[..., Server]) -> None:
    with TestNode(models={"checkpoints": ["XL\\juggernaut v9.safetensors"]}) as node:
        server = make_server()
        server.client.post("/api/v1/nodes", json={"name": "pc", "url": node.url})
        until(lambda: server.client.get("/api/v1/models", params={"node": "pc"}).json()["items"])
        (item,) = server.client.post("/api/v1/models/import", json={"node": "pc"}).json()["items"]
        path = f"/v2/resources/{quote(item['air'], safe='')}"
        read = server.client.get(path).json()

        answer = server.client.put(path, json={**read, "modelName": "Juggernaut"})

        assert answer.status_code == 200, answer.text
        assert read["fileName"] == "XL/juggernaut v9.safetensors"
        assert state(server, item["air"]) == {"status": "available", "workers": 1}
