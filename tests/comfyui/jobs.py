"""/api/jobs, which only the newer release has."""

from typing import Any

from tests.comfyui.execution import Worker
from tests.comfyui.queue import Entry, Queue
from tests.comfyui.wire import Reply, Request, json_reply

STATES = ("pending", "in_progress", "completed", "failed", "cancelled")
Job = dict[str, Any]


def answer(request: Request, queue: Queue, worker: Worker) -> Reply:
    parts = request.path.removeprefix("/api/jobs").strip("/").split("/")
    if request.method == "POST":
        return _cancel(request, parts, queue, worker)
    if parts[0]:
        found = next((job for job in _all(queue, whole=True) if job["id"] == parts[0]), None)
        return json_reply(found) if found else json_reply({"error": "Job not found"}, 404)
    return _list(request, queue)


def _cancel(request: Request, parts: list[str], queue: Queue, worker: Worker) -> Reply:
    wanted = request.json()["job_ids"] if parts == ["cancel"] else [parts[0]]
    done = [_cancel_one(prompt_id, queue, worker) for prompt_id in wanted]
    return json_reply({"cancelled": any(done)})


def _cancel_one(prompt_id: str, queue: Queue, worker: Worker) -> bool:
    if queue.running and queue.running[1] == prompt_id:
        worker.interrupted = True
        return True
    return queue.delete(prompt_id)


def _list(request: Request, queue: Queue) -> Reply:
    query = request.query
    states = query["status"].split(",") if query.get("status") else STATES
    wrong = [state for state in states if state not in STATES]
    if wrong:
        valid = ", ".join(STATES)
        return json_reply(
            {"error": f"Invalid status value(s): {', '.join(wrong)}. Valid values: {valid}"}, 400
        )
    limit, offset = query.get("limit"), max(0, int(query.get("offset", 0)))
    if limit is not None and int(limit) <= 0:
        return json_reply({"error": "limit must be a positive integer"}, 400)
    found = [job for job in _all(queue, whole=False) if job["status"] in states]
    if query.get("workflow_id"):
        found = [job for job in found if job.get("workflow_id") == query["workflow_id"]]
    found.sort(key=lambda job: _rank(job, query.get("sort_by")), reverse=query.get("sort_order") != "asc")
    page = found[offset : offset + int(limit)] if limit else found[offset:]
    more = {"offset": offset, "limit": int(limit) if limit else None, "total": len(found)}
    has_more = offset + len(page) < len(found)
    return json_reply({"jobs": page, "pagination": {**more, "has_more": has_more}})


def _rank(job: Job, sort_by: str | None) -> float:
    if sort_by == "execution_duration":
        return job.get("execution_end_time", 0) - job.get("execution_start_time", 0)
    return job.get("create_time") or 0


def _all(queue: Queue, whole: bool) -> list[Job]:
    pending = [_base(entry, "pending") for entry in queue.pending]
    running = [_base(queue.running, "in_progress")] if queue.running else []
    return [*pending, *running, *(_ended(record, whole) for record in queue.history.values())]


def _base(entry: Entry | list[Any], status: str) -> Job:
    number, prompt_id, _, extra, _ = entry
    workflow = extra.get("extra_pnginfo", {}).get("workflow", {}).get("id")
    return {
        "id": prompt_id,
        "status": status,
        "priority": number,
        "create_time": extra.get("create_time"),
        "outputs_count": 0,
        "previewable_outputs_count": 0,
        **({"workflow_id": workflow} if workflow else {}),
    }


def _ended(record: dict[str, Any], whole: bool) -> Job:
    messages = dict(record["status"]["messages"])
    last, about = record["status"]["messages"][-1]
    status = {"execution_success": "completed", "execution_interrupted": "cancelled"}.get(last, "failed")
    images = [
        {**image, "nodeId": node, "mediaType": "images"}
        for node, output in record["outputs"].items()
        for image in output.get("images", ())
    ]
    job = _base(record["prompt"], status)
    job |= {
        "execution_start_time": messages["execution_start"]["timestamp"],
        "execution_end_time": about["timestamp"],
        "outputs_count": len(images),
        "previewable_outputs_count": len(images),
    }
    if images:
        # The saved picture is shown rather than a temporary one.
        job["preview_output"] = next((image for image in images if image["type"] == "output"), images[0])
    if status == "failed":
        job["execution_error"] = about
    if whole:
        _, _, graph, extra, _ = record["prompt"]
        workflow = {"prompt": graph, "extra_data": extra}
        job |= {"outputs": record["outputs"], "execution_status": record["status"], "workflow": workflow}
    return job
