"""The recipes ``echo`` and ``imageUpload``."""

from pydantic import BaseModel, ConfigDict, Field

from imagemill.domain.credits import Rate
from imagemill.domain.images import TaskSpec
from imagemill.recipes.base import Plan, Recipe, ResourceResolver

IMAGE = "The picture: data URL, URL, or `blob:` and a blob key."
"""The description of a picture in an input."""
EXAMPLE_PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgAQMAAABJtOi3AAAABlBMVEUA/wDIPBSZlhQ5AAAAQUlEQVR42o3MsR"
    "FAQAAF0eefnBJ0QmdaU4oShAJzRJdI2GBno+UvZcdwirEXU8TSCRSbLvAS691qrmKv4rja75MHvZQKpGqOSY8AAAAASUVORK5CYII="
)
"""A red dot on green, as data URL."""
FREE = Rate()


def no_model(input_: BaseModel) -> str:
    """Return that an input names no checkpoint."""
    del input_
    return ""


class Echo(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    message: str = Field(max_length=10_000, description="The text that comes back as `output.message`.")


def _same(input_: Echo, resolver: ResourceResolver, path: str) -> Echo:
    del resolver, path
    return input_


ECHO = Recipe(
    name="echo",
    input=Echo,
    complete=_same,
    plan=lambda input_: Plan(TaskSpec("echo", {"message": input_.message}), outputs=0),
    model=no_model,
    rate=FREE,
    prompt_field="message",
    summary="The message that was sent, to test a client.",
    example={"message": "hello"},
)


class ImageUpload(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    image: str = Field(min_length=1, description=IMAGE)


def _complete_upload(input_: ImageUpload, resolver: ResourceResolver, path: str) -> ImageUpload:
    return ImageUpload(image=resolver.picture(f"{path}image", input_.image))


IMAGE_UPLOAD = Recipe(
    name="imageUpload",
    input=ImageUpload,
    complete=_complete_upload,
    plan=lambda input_: Plan(TaskSpec("imageUpload"), outputs=1, inputs={"image": input_.image}),
    model=no_model,
    rate=FREE,
    summary="A picture as a file of a job, checked and without its metadata.",
    example={"image": EXAMPLE_PICTURE},
)
