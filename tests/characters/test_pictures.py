"""Pictures from the request to the file, on the simulator."""

import base64
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from imagemill.config import Settings
from tests.characters.support import (
    API,
    LIA,
    add_models,
    avatar,
    cover,
    ended,
    lora,
    made,
    order,
    picture,
    scene,
    sticker,
)
from tests.conftest import Server, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("characters"),
        simulator={"step_ms": 0},
        job={"heartbeat_s": 0.05, "retry_base_s": 0.01},
    )
    with running_server(settings) as server:
        yield server


def images(server: Server, subject: str = "lia", **query: str) -> list[dict[str, object]]:
    """The pictures of a character, or of ``stories/ID`` or ``chats/ID``."""
    path = subject if "/" in subject else f"characters/{subject}"
    answer = server.client.get(f"{API}/{path}/images", params=query)
    assert answer.status_code in (200, 404), answer.text
    return answer.json()["items"] if answer.status_code == 200 else []


def blobs(server: Server, prefix: str) -> set[str]:
    return {blob.key for blob in server.app.blobs.list(prefix)}


def test_an_avatar_is_a_webp_of_768_pixels_under_its_characters_key(server: Server):
    result = made(server.client, "avatar", avatar())["result"]
    found = picture(server.client, result["imageUrl"])
    assert (found.format, found.size, found.mode) == ("WEBP", (768, 768), "RGB")
    assert re.search(
        r"/blobs/characters/local/lia/avatar/avatar_\d{13}\.webp\?exp=\d+&sig=", result["imageUrl"]
    )
    assert max(picture(server.client, result["thumbnailUrl"]).size) == 256
    assert (result["translatedBy"], result["untranslated"]) == (["glossary"], [])


def test_a_sticker_is_cut_out_of_its_background_and_trimmed(server: Server):
    result = made(server.client, "sticker", sticker("waving"))["result"]
    found = picture(server.client, result["imageUrl"])
    assert (found.format, found.mode) == ("WEBP", "RGBA")
    alpha = found.getchannel("A")
    assert alpha.getextrema() == (0, 255)
    left, top, right, bottom = alpha.point(lambda level: 255 * (level > 127)).getbbox() or (0, 0, 0, 0)
    margins = (left, top, found.width - right, found.height - bottom)
    assert all(4 <= margin <= 7 for margin in margins), margins
    assert found.width < 768
    assert found.height <= 1152
    assert all(alpha.getpixel(corner) == 0 for corner in ((0, 0), (found.width - 1, 0)))
    assert "/lia/stickers/waving_" in result["imageUrl"]


def test_a_stickers_background_stands_out_from_the_reference(server: Server):
    file = io.BytesIO()
    red = Image.new("RGB", (64, 64), "white")
    red.paste((150, 20, 150), (16, 8, 48, 64))
    red.save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    result = made(server.client, "sticker", sticker(referenceImageUrl=url))["result"]
    assert result["dominantColour"] == "#961496"
    assert result["keyColour"] == "green"


def test_a_sticker_of_a_known_character_needs_no_sheet(server: Server):
    add_models(server.client)
    made(server.client, "avatar", avatar(characterId="known", character=LIA | {"lora": lora()}))
    job_id = order(server.client, "sticker", {"characterId": "known", "emotion": "sad"})["jobId"]
    assert server.app.stores.jobs.job(job_id).input["character"]["physical"] == LIA["physical"]
    recipe, job = server.app.recipes["sticker"], server.app.stores.jobs.job(job_id)
    assert "green eyes" in recipe.plan(recipe.input.model_validate(job.input)).work.prompt
    ended(server.client, job_id)


def test_pictures_of_equal_ids_belong_to_a_character_a_story_and_a_chat(server: Server):
    made(server.client, "avatar", avatar(characterId="7"))
    made(server.client, "cover", cover(storyId="7"))
    of_chat = made(server.client, "scene", scene(chatId="7"))
    made(server.client, "cover", {"characterId": "7"})
    assert of_chat["data"] | {"batchId": ""} == {"type": "scene", "chatId": "7", "batchId": ""}
    assert [image["type"] for image in images(server, "7")] == ["cover", "avatar"]
    assert [image["type"] for image in images(server, "stories/7")] == ["cover"]
    (scene_,) = images(server, "chats/7")
    assert scene_["id"] == of_chat["result"]["imageId"]
    server.app.stores.jobs.delete_jobs([of_chat["jobId"]])
    assert server.app.sweeper.delete_orphans(0) == 0
    assert picture(server.client, str(images(server, "chats/7")[0]["imageUrl"])).size == (512, 512)
    assert server.client.delete(f"{API}/stories/7/images/{scene_['id']}").status_code == 404
    assert server.client.put(f"{API}/chats/7/images/{scene_['id']}/activate").status_code == 200
    assert server.client.delete(f"{API}/chats/7/images/{scene_['id']}").status_code == 204
    assert images(server, "chats/7") == []
    assert len(images(server, "7")) == 2


def test_the_cover_of_a_character_shows_it(server: Server):
    server.client.put(f"{API}/characters/cov", json={"character": LIA})
    found = made(server.client, "cover", {"characterId": "cov"})
    assert (found["data"]["type"], found["data"]["characterId"]) == ("cover", "cov")
    assert "/local/cov/cover/cover_" in found["result"]["imageUrl"]
    recipe, job = server.app.recipes["cover"], server.app.stores.jobs.job(found["jobId"])
    work = recipe.plan(recipe.input.model_validate(job.input)).work
    assert "(Lia:1.2)" in work.prompt


def test_an_avatar_with_a_reference_is_drawn_from_it(server: Server):
    file = io.BytesIO()
    Image.new("RGB", (80, 80), (200, 30, 30)).save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    found = made(server.client, "avatar", avatar(characterId="ref", referenceImageUrl=url))
    assert found["result"]["dominantColour"] == "#c81e1e"
    plan = server.app.recipes["avatar"]
    job = server.app.stores.jobs.job(found["jobId"])
    work = plan.plan(plan.input.model_validate(job.input)).work
    assert (work.image, work.denoise) == ("reference", 0.6)


def test_a_cover_and_a_scene_have_their_sizes(server: Server):
    result = made(server.client, "cover", cover(characters=[LIA]))["result"]
    assert picture(server.client, result["imageUrl"]).size == (1024, 1024)
    assert "/local/story.tale/cover/cover_" in result["imageUrl"]
    assert [image["type"] for image in images(server, "stories/tale")] == ["cover"]
    assert images(server, "tale") == []
    result = made(server.client, "scene", scene(width=640, height=512))["result"]
    assert picture(server.client, result["imageUrl"]).size == (640, 512)
    assert result["imageId"] is None


def test_one_picture_of_a_type_is_active_and_any_can_be(server: Server):
    first = made(server.client, "avatar", avatar(characterId="act", seed=1))["result"]["imageId"]
    second = made(server.client, "avatar", avatar(characterId="act", seed=2))["result"]["imageId"]
    made(server.client, "sticker", sticker(characterId="act"))
    listed = {image["id"]: image["active"] for image in images(server, "act", type="avatar")}
    assert listed == {second: True, first: False}
    answer = server.client.put(f"{API}/characters/act/images/{first}/activate")
    assert (answer.status_code, answer.json()["active"]) == (200, True)
    listed = {image["id"]: image["active"] for image in images(server, "act", type="avatar")}
    assert listed == {second: False, first: True}
    assert [image["active"] for image in images(server, "act", emotion="happy")] == [True]


def test_a_deleted_picture_takes_its_files_along(server: Server):
    first = made(server.client, "avatar", avatar(characterId="del", seed=1))
    second = made(server.client, "avatar", avatar(characterId="del", seed=2))
    place = "characters/local/del/"
    assert len(blobs(server, place)) == 4
    path = f"{API}/characters/del/images/{second['result']['imageId']}"
    assert server.client.delete(path).status_code == 204
    assert len(blobs(server, place)) == 2
    assert [image["active"] for image in images(server, "del")] == [True]
    assert httpx2.get(second["result"]["imageUrl"]).status_code == 404
    assert server.client.delete(path).status_code == 404
    assert server.client.put(f"{path}/activate").status_code == 404
    result = ended(server.client, second["jobId"])["result"]
    assert (result["imageId"], result["imageUrl"]) == (None, None)
    assert picture(server.client, first["result"]["imageUrl"]).size == (768, 768)


def test_pages_of_pictures_follow_each_other(server: Server):
    for seed in (1, 2, 3):
        made(server.client, "avatar", avatar(characterId="page", seed=seed))
    path = f"{API}/characters/page/images"
    first = server.client.get(path, params={"limit": 2}).json()
    second = server.client.get(path, params={"limit": 2, "cursor": first["next"]}).json()
    assert [len(first["items"]), len(second["items"]), second["next"]] == [2, 1, None]


def test_a_picture_outlives_its_job_and_unsigned_urls_are_refused(server: Server):
    found = made(server.client, "avatar", avatar(characterId="old"))
    server.app.stores.jobs.delete_jobs([found["jobId"]])
    (image,) = images(server, "old")
    assert picture(server.client, str(image["imageUrl"])).size == (768, 768)
    assert httpx2.get(str(image["imageUrl"]).partition("?")[0]).status_code == 403
    assert server.app.sweeper.delete_orphans(0) == 0


def test_the_name_of_an_owner_never_leaves_its_folder(server: Server):
    from imagemill.domain.blob_keys import owner_folder

    assert owner_folder("shop") == "shop"
    assert owner_folder("shop:ann") == "shop_3aann"
    assert owner_folder("..") == "_2e_2e"
    names = ["shop:ann", "shop_3aann", "shop/ann", "a" * 64, "@" * 64, "é"]
    folders = [owner_folder(name) for name in names]
    assert len(set(folders)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,96}", folder) for folder in folders)


def test_what_pictures_tell_of_themselves_is_a_setting(make_server: Callable[..., Server], tmp_path: Path):
    found: dict[str, bytes] = {}
    for metadata in ("full", "anonymous", "none"):
        server = make_server(
            data_dir=tmp_path / metadata,
            simulator={"step_ms": 0},
            characters={"metadata": metadata, "keep_original": metadata == "full"},
        )
        result = made(server.client, "avatar", avatar())
        found[metadata] = httpx2.get(result["result"]["imageUrl"]).content
        originals = {key for key in blobs(server, f"jobs/{result['jobId']}/") if key.endswith(".png")}
        assert len(originals) == (metadata == "full")
    assert b"digitalsourcetype/algorithmicMedia" in found["full"]
    assert b"green eyes" in found["full"]
    assert b"digitalsourcetype/algorithmicMedia" in found["anonymous"]
    assert b"green eyes" not in found["anonymous"]
    assert b"digitalsourcetype" not in found["none"]


def test_pictures_in_a_public_bucket_have_its_addresses(make_server: Callable[..., Server]):
    server = make_server(
        simulator={"step_ms": 0}, characters={"public_base_url": "https://cdn.example/pictures/"}
    )
    result = made(server.client, "avatar", avatar())["result"]
    assert re.fullmatch(
        r"https://cdn\.example/pictures/characters/local/lia/avatar/avatar_\d+\.webp", result["imageUrl"]
    )


@pytest.mark.parametrize(
    ("fault", "why"), [("blank", "blank"), ("wrong_size", "not 768 x 768"), ("corrupt", "")]
)
def test_a_picture_that_is_none_is_a_failure(fault: str, why: str, make_server: Callable[..., Server]):
    server = make_server(
        simulator={"step_ms": 0, "faults": [{"fault": fault}]},
        job={"max_failures": 1, "heartbeat_s": 0.05},
    )
    found = ended(server.client, order(server.client, "avatar", avatar())["jobId"])
    assert (found["state"], found["error"]["code"]) == ("failed", "BAD_OUTPUT")
    assert why in found["failedReason"]
    assert images(server) == []
    assert blobs(server, "characters/") == set()


def test_a_sticker_whose_picture_cannot_be_used_is_drawn_with_another_seed(
    make_server: Callable[..., Server],
):
    server = make_server(
        simulator={"step_ms": 0, "faults": [{"fault": "blank", "times": 2}]},
        job={"heartbeat_s": 0.05, "retry_base_s": 0.01},
    )
    found = made(server.client, "sticker", sticker(seed=5))
    assert found["result"]["seed"] == 5 + 2 * 7919
    kept = made(server.client, "avatar", avatar(seed=5))
    assert kept["result"]["seed"] == 5


def test_a_simulated_picture_says_so(server: Server):
    assert made(server.client, "avatar", avatar(characterId="sim"))["result"]["simulated"] is True


def test_scenes_in_a_public_bucket_have_addresses_that_last(make_server: Callable[..., Server]):
    public = {"public_base_url": "https://cdn.example"}
    server = make_server(simulator={"step_ms": 0}, characters=public)
    url = made(server.client, "scene", scene(chatId="c1"))["result"]["imageUrl"]
    assert re.fullmatch(r"https://cdn\.example/characters/local/chat\.c1/scene/scene_\d+\.webp", url)


def test_a_public_address_of_local_files_is_warned_about(
    make_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
):
    make_server(characters={"public_base_url": "https://cdn.example"})
    assert "IMAGEMILL_CHARACTERS__PUBLIC_BASE_URL is set, but files are in a local folder" in caplog.text


def test_loras_are_in_the_plan_with_their_strengths(server: Server):
    add_models(server.client)
    sheet = LIA | {"lora": [lora(name="Akane | Tale"), lora(0.5)]}
    job_id = order(server.client, "avatar", avatar(characterId="lora", character=sheet))["jobId"]
    job, recipe = server.app.stores.jobs.job(job_id), server.app.recipes["avatar"]
    work = recipe.plan(recipe.input.model_validate(job.input)).work
    assert [network.strength for network in work.networks] == [1.0, 0.5]
    assert "(Akane:1.2)" in work.prompt
    ended(server.client, job_id)
