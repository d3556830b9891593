"""Bounds of numbers have the names that JSON Schema gives them."""

import re

from tests.conftest import Server


def test_no_bound_has_a_name_of_pydantics(server: Server) -> None:
    text = server.client.get("/openapi.json").text

    assert re.findall(r'"(?:ge|le|gt|lt)": ?-?[0-9]', text) == []
    assert '"minimum"' in text
    assert '"exclusiveMinimum"' in text
