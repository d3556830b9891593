"""What the published client, unmodified, does and tells; a process of its own, as it reads its hosts when
imported. ``program.py sync|async|host``."""

import asyncio
import io
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import fal_client
import httpx
from PIL import Image

SLOTS = 2
DEV, IMAGE = "fal-ai/flux/dev", "fal-ai/flux/dev/image-to-image"


def wanted(prompt: str = "a lighthouse", **changes: Any) -> dict[str, Any]:
    size = {"width": 64, "height": 64}
    return {"prompt": prompt, "image_size": size, "num_inference_steps": 8, "seed": 7, **changes}


def status(told: Any) -> dict[str, Any]:
    return {"kind": type(told).__name__, **vars(told)}


def failure(error: fal_client.FalClientHTTPError) -> dict[str, Any]:
    return {"status": error.status_code, "detail": error.message, "type": error.error_type}


def failing(call: Callable[[], Any]) -> dict[str, Any]:
    try:
        call()
    except fal_client.FalClientHTTPError as error:
        return failure(error)
    raise AssertionError("it did not fail")


async def failing_async(call: Awaitable[Any]) -> dict[str, Any]:
    try:
        await call
    except fal_client.FalClientHTTPError as error:
        return failure(error)
    raise AssertionError("it did not fail")


def size_of(output: dict[str, Any]) -> tuple[int, int]:
    """Of the picture at the address in an output."""
    data = httpx.get(output["images"][0]["url"]).raise_for_status().content
    return Image.open(io.BytesIO(data)).size


def sync() -> dict[str, Any]:
    found: dict[str, Any] = {}
    updates: list[Any] = []
    ids: list[str] = []
    found["subscribed"] = fal_client.subscribe(
        DEV, wanted(num_images=2), with_logs=True, on_enqueue=ids.append, on_queue_update=updates.append,
        priority="low", hint="runner-1", start_timeout=30,
    )  # fmt: skip
    found["updates"], found["enqueued"] = [status(each) for each in updates], ids
    handle = fal_client.submit(DEV, wanted())
    found["seen"] = [status(each) for each in handle.iter_events(with_logs=True, interval=0.005)]
    found["got"] = handle.get(interval=0.005)
    found["picture"] = size_of(found["got"])
    found["handle"] = {"id": handle.request_id, "response": handle.response_url, "status": handle.status_url}
    found["status"] = status(fal_client.status(DEV, handle.request_id, with_logs=True))
    found["result"] = fal_client.result(DEV, handle.request_id)
    found["run"] = fal_client.run(DEV, wanted())
    found["run_below"] = fal_client.run("fal-ai/flux", wanted(), path="schnell", start_timeout=20)
    found["streamed"] = list(fal_client.stream(DEV, wanted()))
    found["drawn anew"] = fal_client.run(IMAGE, wanted(image_url=found["got"]["images"][0]["url"]))
    picture = Image.new("RGB", (96, 128), "blue")
    brought = wanted(image_url=fal_client.encode_image(picture), sync_mode=True, output_format="png")
    found["brought"] = fal_client.run(IMAGE, {**brought, "image_size": None})
    found["failures"] = failures()
    found["cancelled"] = cancelled()
    return found


def failures() -> dict[str, Any]:
    return {
        "field": failing(lambda: fal_client.submit(DEV, {"prompt": 5, "num_images": 9})),
        "app": failing(lambda: fal_client.submit("fal-ai/sora", wanted())),
        "content": failing(lambda: fal_client.subscribe(DEV, wanted("forbidden fruit"), interval=0.01)),
        "run": failing(lambda: fal_client.run(DEV, wanted("it is refused"))),
        "deadline": late(),
        "request": failing(lambda: fal_client.status(DEV, "01a20740-aac5-75ad-94ab-f2dc4501c798")),
    }


def late() -> dict[str, Any]:
    """While something else takes all the slots."""
    hanging = [fal_client.submit(DEV, wanted("it hangs")) for _ in range(SLOTS)]
    told = failing(lambda: fal_client.subscribe(DEV, wanted(), interval=0.01, start_timeout=1.1))
    for handle in hanging:
        handle.cancel()
    return told


def cancelled() -> dict[str, Any]:
    found: dict[str, Any] = {}
    handle = fal_client.submit(DEV, wanted("it hangs"))
    handle.cancel()
    *_, last = handle.iter_events(interval=0.01)
    found["status"] = status(last)
    found["result"] = failing(handle.get)
    found["again"] = failing(handle.cancel)
    ids: list[str] = []
    try:
        fal_client.subscribe(DEV, wanted("it hangs"), client_timeout=2.5, on_enqueue=ids.append)
    except fal_client.FalClientTimeoutError as error:
        found["timeout"] = error.request_id
    *_, last = fal_client.SyncClient().get_handle(DEV, ids[0]).iter_events(interval=0.01)
    found["after timeout"] = status(last)
    return found


async def asynchronous() -> dict[str, Any]:
    client, found, updates = fal_client.AsyncClient(), dict[str, Any](), list[Any]()
    found["subscribed"] = await client.subscribe(
        DEV, wanted(), with_logs=True, on_queue_update=updates.append, priority="normal"
    )
    found["updates"] = [status(each) for each in updates]
    handle = await client.submit(DEV, wanted())
    found["got"] = await handle.get(interval=0.005)
    found["status"] = status(await handle.status(with_logs=True))
    found["run"] = await client.run(DEV, wanted())
    found["streamed"] = [event async for event in client.stream(DEV, wanted())]
    several = [client.run(DEV, wanted(seed=seed)) for seed in range(4)]
    found["several"] = await asyncio.gather(*several)
    hanging = await client.submit(DEV, wanted("it hangs"))
    await hanging.cancel()
    found["cancelled"] = await failing_async(hanging.get(interval=0.01))
    found["field"] = await failing_async(client.run(DEV, {}))
    return found


def host() -> dict[str, Any]:
    """At hosts of fal's own, which only `FAL_RUN_HOST` names."""
    handle = fal_client.submit(DEV, wanted())
    got = handle.get(interval=0.01)
    return {
        "handle": vars(handle) | {"client": None},
        "got": got,
        "picture": size_of(got),
        "run": fal_client.run(DEV, wanted()),
        "result": fal_client.result(DEV, handle.request_id),
    }


DOES: dict[str, Callable[[], Any]] = {
    "sync": sync,
    "async": lambda: asyncio.run(asynchronous()),
    "host": host,
}

if __name__ == "__main__":
    print(json.dumps(DOES[sys.argv[1]](), default=str))
