"""Bodies of the requests about personalised books."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from imagemill.products.books.book_manifest import Slug
from imagemill.products.books.texts import MOST_FEEDBACK
from imagemill.web.body_fields import Whole
from imagemill.web.routing import RequestModel

MOST_NAME = 60
"""Characters of a child's name."""
SHARE_DAYS = 14
"""Days after which a shared link expires, unless the request names others."""
Who = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Feedback = Annotated[str, StringConstraints(max_length=MOST_FEEDBACK, strip_whitespace=True)]


def example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class ConsentBody(RequestModel):
    """The person who has allowed the use of the photo, and the time."""

    model_config = example(who="parent@example.org", when="2026-01-31T12:00:00Z")

    who: Who = Field(description="The person who has agreed, such as a name or an address of mail.")
    when: datetime = Field(description="When they have agreed, with a time zone.")


class PersonalizationForm(RequestModel):
    """The fields of the form beside the photos."""

    consent: ConsentBody
    profile: Slug | None = Field(None, description="The print profile; the default is the book's.")
    callback_url: str | None = Field(
        None, max_length=2000, description="Where each event of this book is posted."
    )


class RedrawRequest(RequestModel):
    model_config = example(feedback="make the smile wider")

    feedback: Feedback = Field("", description="One sentence about what should be different.")


class ReferenceApproval(RequestModel):
    model_config = example(version=1)

    version: Whole | None = Field(
        None, ge=1, description="The version to approve; the default is the current one."
    )


class GenerateRequest(RequestModel):
    model_config = example(childName="Lia", childAge=5, childGender="girl", language="en")

    child_name: str = Field(
        min_length=1, max_length=MOST_NAME, description="Printed as it is written; nothing in it is markup."
    )
    child_age: Whole = Field(ge=0, le=120, description="Years.")
    child_gender: Literal["boy", "girl", "neutral"] = Field(description="Chooses the forms of the text.")
    language: str = Field(
        min_length=2, max_length=12, description="One of the `languages` of the book, such as `uk`."
    )


class ChooseRequest(RequestModel):
    model_config = example(version=1)

    version: Whole = Field(ge=1, description="An earlier version of the page.")


class ShareRequest(RequestModel):
    model_config = example(days=14)

    days: Whole = Field(SHARE_DAYS, ge=1, le=90, description="Days after which the link expires.")


class ApproveRequest(RequestModel):
    model_config = example(who="parent@example.org")

    who: Who = Field(description="The person who approves the book for print; it stands in the record.")
