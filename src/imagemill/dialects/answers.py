"""Answers as JSON."""

from typing import Any

from fastapi import Response
from pydantic_core import to_json


def answer(body: Any, status: int = 200) -> Response:
    return Response(to_json(body), status, media_type="application/json")
