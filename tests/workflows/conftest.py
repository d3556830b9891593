import pytest

from imagemill.graphs.catalogue import Catalogue
from tests.workflows.object_info import object_info


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.read(object_info(), embeddings=["easynegative", "style/mono"])
