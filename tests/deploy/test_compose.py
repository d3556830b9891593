"""compose.yaml against the shape of the Compose specification, and against our own rules."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from imagemill.config import Settings, setting_names
from imagemill.dispatch.base import BROKERED
from imagemill.domain.scheduling import TASKS
from tests.deploy import compose, plain_yaml
from tests.deploy.compose import FILE, FOLDER, ROOT, Missing

SECRETS = {
    name: f"{name.lower().replace('_', '')}{'0' * 32}"
    for name in (
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "S3_ACCESS_KEY_ID",
        "S3_SECRET_ACCESS_KEY",
        "IMAGEMILL_URL_SIGNING_KEY",
        "IMAGEMILL_AUTH__ADMIN_KEY",
    )
}
LOADED = compose.load(SECRETS)
OURS = ("web", "scheduler", "worker-gpu", "worker-render", "generator")
KINDS: dict[str, type | tuple[type, ...]] = {
    "build": dict,
    "cap_add": list,
    "cap_drop": list,
    "command": list,
    "depends_on": dict,
    "deploy": dict,
    "entrypoint": list,
    "env_file": list,
    "environment": dict,
    "healthcheck": dict,
    "image": str,
    "init": bool,
    "mem_limit": str,
    "network_mode": str,
    "networks": dict,
    "ports": list,
    "profiles": list,
    "read_only": bool,
    "restart": str,
    "security_opt": list,
    "shm_size": str,
    "stop_grace_period": str,
    "tmpfs": list,
    "volumes": list,
}
"""The attributes of a service that are used here, as the specification has them."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
DURATION = re.compile(r"(\d+(ms|s|m|h))+")
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


def each_service() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", LOADED.services)


def test_the_file_has_the_parts_compose_knows() -> None:
    found = compose.raw()
    assert {key for key in found if not key.startswith("x-")} == {"name", "services", "volumes"}
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", found["name"])


@each_service()
def test_attributes_are_of_their_kind(name: str) -> None:
    for key, value in LOADED.services[name].items():
        assert key in KINDS, f"{key} is no attribute that is known here"
        assert isinstance(value, KINDS[key]), key
    texts = [
        *LOADED.services[name].get("command", ()),
        *LOADED.services[name].get("environment", {}).values(),
    ]
    assert [text for text in texts if not isinstance(text, str)] == []


@each_service()
def test_a_service_has_a_pinned_image_or_a_dockerfile(name: str) -> None:
    service = LOADED.services[name]
    if "build" not in service:
        assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?", service["image"])
        return
    build = service["build"]
    assert set(build) <= {"context", "dockerfile", "args"}
    context = (FOLDER / build["context"]).resolve()
    assert (context / build.get("dockerfile", "Dockerfile")).is_file()


@each_service()
def test_a_service_says_how_it_is_found_to_be_healthy(name: str) -> None:
    service = LOADED.services[name]
    if service["restart"] == "no":
        assert "healthcheck" not in service, "it ends, and is waited for"
        return
    check = service["healthcheck"]
    assert set(check) <= {"test", "interval", "timeout", "retries", "start_period"}
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert len(check["test"]) == 2 or check["test"][0] == "CMD"
    assert all(DURATION.fullmatch(check[key]) for key in ("interval", "timeout"))
    assert isinstance(check["retries"], int)


@each_service()
def test_what_a_service_depends_on_is_there_and_can_come_true(name: str) -> None:
    for other, how in LOADED.services[name].get("depends_on", {}).items():
        assert how["condition"] in CONDITIONS
        assert "profiles" not in LOADED.services[other], "it may not be started"
        ends = LOADED.services[other]["restart"] == "no"
        assert (how["condition"] == "service_completed_successfully") == ends
        assert ends or "healthcheck" in LOADED.services[other]


def test_our_processes_start_after_all_they_need() -> None:
    request = [name for names in LOADED.order() for name in names]
    for name in OURS:
        for needed in ("db", "redis", "seaweedfs", "migrate"):
            assert request.index(needed) < request.index(name)


@each_service()
def test_volumes_are_declared_or_lie_beside_the_file(name: str) -> None:
    for volume in LOADED.services[name].get("volumes", ()):
        source, target, *mode = volume.split(":")
        assert target.startswith("/")
        assert mode in ([], ["ro"])
        if source.startswith("."):
            assert mode == ["ro"], "what is of the machine is not written to"
        else:
            assert source in LOADED.volumes


def test_comfyui_and_the_worker_share_the_models() -> None:
    mounts = {name: LOADED.services[name]["volumes"] for name in ("comfyui", "worker-gpu")}
    assert "models_cache:/models" in mounts["comfyui"]
    assert "models_cache:/models:ro" in mounts["worker-gpu"]
    assert "./insightface:/opt/comfyui/models/insightface:ro" in mounts["comfyui"]


@each_service()
def test_ports_are_published_on_loopback_only(name: str) -> None:
    ports = LOADED.services[name].get("ports", [])
    assert [port for port in ports if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []
    assert LOADED.services[name].get("network_mode", "") in ("", "service:web")


@pytest.mark.parametrize("name", SECRETS)
def test_nothing_starts_without_a_secret(name: str) -> None:
    with pytest.raises(Missing, match=name):
        compose.load({**SECRETS, name: ""})


def test_no_secret_stands_in_the_file() -> None:
    def texts(value: Any, key: str = "") -> "list[tuple[str, str]]":
        if isinstance(value, dict):
            return [pair for name, each in value.items() for pair in texts(each, name)]
        return [(key, str(value))] if not isinstance(value, list) else [(key, str(each)) for each in value]

    secret = re.compile(r"PASSWORD|SECRET|TOKEN|SIGNING_KEY|ACCESS_KEY|_AUTH")
    for key, text in texts(compose.raw()["services"]):
        if secret.search(key):
            assert re.fullmatch(r"\$\{\w+:[-?][^}]*\}", text), f"{key} is written out"
        assert not re.search(r"://[^/@$]*:[^/@$]+@", text), f"{key} holds a password"
    for name, how in compose.variables(FILE.read_text(encoding="utf-8")).items():
        if secret.search(name) and how == ":-":
            assert f"${{{name}:-}}" in FILE.read_text(encoding="utf-8"), f"{name} has a default"


def test_the_example_environment_names_every_variable_and_gives_no_secret() -> None:
    lines = (FOLDER / "env.example").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(given) == {*compose.variables(FILE.read_text(encoding="utf-8")), "COMPOSE_PROFILES"}
    assert [name for name in SECRETS if given[name]] == []


@pytest.mark.parametrize("name", [*OURS, "migrate"])
def test_our_settings_are_settings(name: str) -> None:
    known = {name for name, _ in setting_names()}
    assert set(LOADED.services[name]["environment"]) <= known


@pytest.mark.parametrize("name", [*OURS, "migrate"])
def test_our_processes_are_given_as_long_to_stop_as_they_may_take(name: str) -> None:
    service = LOADED.services[name]
    grace_s = float(service["environment"]["IMAGEMILL_SHUTDOWN_GRACE_S"])
    assert grace_s < float(service["stop_grace_period"].removesuffix("s")) <= 120


def test_every_process_knows_the_same_fleet() -> None:
    common = {name: LOADED.services[name]["environment"] for name in OURS}
    for key, value in common["scheduler"].items():
        assert {environment[key] for environment in common.values()} == {value}


@pytest.mark.parametrize("name", [*OURS, "migrate"])
def test_every_setting_can_be_given_to_a_process_by_a_file(name: str) -> None:
    files = LOADED.services[name]["env_file"]
    assert [file["path"] for file in files] == ["none.env", "settings.env"]
    assert [file["required"] for file in files] == [False, False]


@each_service()
def test_no_service_takes_all_memory_of_the_machine(name: str) -> None:
    limit = re.fullmatch(r"(\d+)([mg])", LOADED.services[name]["mem_limit"])
    assert limit is not None
    assert int(limit[1]) * {"m": 1, "g": 1024}[limit[2]] <= 32 * 1024


def test_the_memory_of_the_large_services_can_be_changed() -> None:
    names = {
        "db": "DB",
        "web": "IMAGEMILL",
        "worker-render": "RENDER",
        "comfyui": "COMFYUI",
        "vision": "VISION",
    }
    changed = compose.load({**SECRETS, **{f"{name}_MEMORY": "7g" for name in names.values()}})
    assert {changed.services[name]["mem_limit"] for name in names} == {"7g"}


def test_services_have_the_names_people_know_and_answer_to_former_ones() -> None:
    known = {"db", "redis", "web", "comfyui", "worker-gpu", "worker-render"}
    assert known <= set(LOADED.services)
    aliases = {
        alias: name
        for name, service in LOADED.services.items()
        for alias in service.get("networks", {}).get("default", {}).get("aliases", ())
    }
    assert aliases == {"postgres": "db", "api": "web"}
    assert not set(aliases) & set(LOADED.services)


@pytest.mark.parametrize(
    ("names", "also"),
    [
        (("db", "redis"), set[str]()),
        (("comfyui",), set[str]()),
        (("vision",), set[str]()),
        (("web",), {"db", "redis", "seaweedfs", "migrate"}),
        (("worker-render",), {"db", "redis", "seaweedfs", "migrate"}),
        (("frontend",), {"web", "db", "redis", "seaweedfs", "migrate"}),
    ],
)
def test_a_part_can_be_started(names: tuple[str, ...], also: set[str]) -> None:
    assert LOADED.started(*names) == {*names, *also}


def test_the_queues_have_their_workers() -> None:
    def queues(name: str) -> str:
        return LOADED.services[name]["command"][-1]

    assert queues("worker-gpu") == "gpu,celery"
    assert queues("worker-render") == "render,celery,remote"
    assert {*queues("worker-gpu").split(","), *queues("worker-render").split(",")} == set(BROKERED) - {TASKS}


@each_service()
def test_a_gpu_is_reserved_where_models_run_and_nowhere_else(name: str) -> None:
    service = LOADED.services[name]
    uses_gpu = name in ("comfyui", "vision")
    assert ("deploy" in service) is uses_gpu
    if uses_gpu:
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu"]}
        assert service["profiles"] == [name], "a machine without a GPU starts the others"


def test_a_gpu_is_chosen_by_service() -> None:
    loaded = compose.load({**SECRETS, "COMFYUI_GPU": "1", "VISION_GPU": "GPU-2b"})
    chosen = [
        loaded.services[name]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
        for name in ("comfyui", "vision")
    ]
    assert chosen == [["1"], ["GPU-2b"]]


def test_the_vision_model_is_the_one_named_from_the_folder_named() -> None:
    service = LOADED.services["vision"]
    assert service["command"][0] == "Qwen/Qwen2-VL-2B-Instruct"
    assert service["volumes"] == [f"huggingface:{service['environment']['HF_HOME']}"]
    given = compose.load({**SECRETS, "QWEN_MODEL_ID": "Qwen/Other", "HF_HOME": "/srv/hf"}).services["vision"]
    assert (given["command"][0], given["volumes"]) == ("Qwen/Other", ["/srv/hf:/huggingface"])


def test_the_settings_of_the_vision_profile_are_those_of_its_service() -> None:
    loaded = compose.load({**SECRETS, "VISION_SETTINGS": "vision.env"})
    for name in OURS:
        # Of two files the last one decides, so an operator's own endpoint stays.
        assert [file["path"] for file in loaded.services[name]["env_file"]] == ["vision.env", "settings.env"]
    lines = (FOLDER / "vision.env").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert set(given) <= {name for name, _ in setting_names()}
    options = dict(option[2:].split("=") for option in loaded.services["vision"]["command"] if "=" in option)
    assert given["IMAGEMILL_LANGUAGE_MODEL__BASE_URL"] == f"http://vision:{options['port']}/v1"
    assert given["IMAGEMILL_LANGUAGE_MODEL__VISION_MODEL"] == options["served-model-name"]
    assert given["IMAGEMILL_LANGUAGE_MODEL__MODEL"] == options["served-model-name"]
    values = {name.removeprefix("IMAGEMILL_LANGUAGE_MODEL__").lower(): value for name, value in given.items()}
    assert Settings(_env_file=None, language_model=values).language_model.vision_model == "vision"


def test_a_server_without_a_key_is_in_the_inner_network_only() -> None:
    for name in ("comfyui", "vision", "db", "redis", "seaweedfs"):
        assert "ports" not in LOADED.services[name], name


def test_photos_on_comfyui_end_with_it() -> None:
    service = LOADED.services["comfyui"]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/opt/comfyui/temp"]
    targets = [volume.split(":")[1] for volume in service["volumes"]]
    assert targets == ["/models", "/opt/comfyui/models/insightface"]


def test_builds_take_the_proxies_of_the_shell_and_none_without_them() -> None:
    for name in ("web", "comfyui", "flower"):
        arguments = LOADED.services[name]["build"]["args"]
        assert {key: arguments[key] for key in PROXIES} == dict.fromkeys(PROXIES)


@pytest.mark.parametrize(("status", "is_up"), [(0, True), (3, True), (1, False), (2, False)])
def test_an_api_without_workers_is_up(tmp_path: Path, status: int, is_up: bool) -> None:
    """Else the front end and thus the whole fleet would wait for a worker, which needs no API to start."""
    assert LOADED.services["web"]["healthcheck"]["test"] == ["CMD", "healthcheck.sh"]
    (tmp_path / "imagemill").write_text(f'#!/bin/sh\necho "$*"\nexit {status}\n')
    (tmp_path / "imagemill").chmod(0o755)
    (tmp_path / "cmdline").write_bytes(b"/sbin/docker-init\0--\0entrypoint.sh\0imagemill\0api\0")
    done = subprocess.run(
        ["sh", str(FOLDER / "image" / "healthcheck.sh"), str(tmp_path / "cmdline")],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "IMAGEMILL_PORT": "8701"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "health --url http://127.0.0.1:8701\n"
    assert (done.returncode == 0) is is_up


def test_the_front_end_passes_on_to_the_port_the_server_listens_on() -> None:
    port = LOADED.services["web"]["environment"]["IMAGEMILL_PORT"]
    text = (FOLDER / "nginx" / "frontend.conf").read_text(encoding="utf-8")
    assert f"proxy_pass http://127.0.0.1:{port};" in text
    published = LOADED.services["web"]["ports"][0].rpartition(":")[2]
    assert f"listen {published};" in text


def test_proxies_let_a_full_body_through_and_hold_no_event_back() -> None:
    for name in ("frontend.conf", "imagemill.conf"):
        text = (FOLDER / "nginx" / name).read_text(encoding="utf-8")
        largest = int(re.search(r"client_max_body_size (\d+)m;", text)[1]) * 2**20  # type: ignore[index]
        assert largest > Settings.model_fields["limit"].default.body_bytes
        assert "proxy_buffering off;" in text
        assert text.count("{") == text.count("}")


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",
        "a: b: c",
        "a:\n\t- b",
        "a: [b, c",
        "a: 'b",
        "a: yes",
        "a:\n  b: 1\n c: 2",
        "a: *nowhere",
        "- a\nb: c",
    ],
)
def test_what_readers_take_differently_is_refused(text: str) -> None:
    with pytest.raises(plain_yaml.NotPlain):
        plain_yaml.read(text)


def test_anchors_merges_and_quotes_are_read() -> None:
    text = "x: &x\n  a: 1\n  b: 'it''s'\ny:\n  <<: *x\n  a: [\"1\", {c: true}]\n"
    assert plain_yaml.read(text)["y"] == {"a": ["1", {"c": True}], "b": "it's"}


def test_the_ignored_files_leave_what_the_dockerfile_copies() -> None:
    kept = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    copied = re.findall(
        r"^COPY (?!--from)(?:--chmod=\d+ )?(.+) \S+$", Path(ROOT, "Dockerfile").read_text(), re.MULTILINE
    )
    assert {source for line in copied for source in line.split()} == kept
