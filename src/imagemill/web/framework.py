"""The import of FastAPI without the validators of its OpenAPI models, which only ``/openapi.json`` needs."""

from typing import Any

from pydantic import BaseModel, ConfigDict


def load_framework() -> None:
    """Import FastAPI; call it before anything else does. Its models of OpenAPI are built at their first use.

    Building them takes 40 ms. Models have no common setting for that but the base class's, and FastAPI builds
    three of them by ``model_rebuild()``; pydantic's own calls have arguments.
    """
    base: Any = BaseModel
    rebuild, config = BaseModel.__dict__["model_rebuild"], BaseModel.model_config

    def rebuild_later(cls: type[BaseModel], **options: Any) -> bool | None:
        return rebuild.__func__(cls, **options) if options else None

    base.model_rebuild, base.model_config = classmethod(rebuild_later), ConfigDict(defer_build=True)
    try:
        import fastapi.openapi.models  # noqa: F401
    finally:
        base.model_rebuild, base.model_config = rebuild, config
