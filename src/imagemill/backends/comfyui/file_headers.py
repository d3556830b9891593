"""The headers of a node's model files: a few new ones are read at each health check."""

import logging
import time
from collections import Counter
from collections.abc import Mapping

from imagemill.backends.comfyui.client import NodeClient
from imagemill.backends.comfyui.errors import ComfyError, ComfyUnreachable
from imagemill.graphs.file_metadata import NO_METADATA, FileMetadata, read_metadata
from imagemill.graphs.node_models import NodeFile, NodeModels

log = logging.getLogger(__name__)

KINDS = ("checkpoint", "lora")
"""The kinds of models whose headers say something that is needed."""
MOST_AT_ONCE = 50
"""Headers read at one health check."""
READ_S = 0.5
"""Seconds of a health check after which no further header is read: on a network drive each takes long."""
MOST_TRIES = 2
"""Times that a header without an answer is asked for."""

_Key = tuple[str, str, int | None]
"""Folder, name and size: a file that was replaced has another size."""


class FileHeaders:
    """The facts of the headers that have been read. Each file is asked for once.

    The node's health monitor reads; any thread may take ``found``, a new object after each reading.
    """

    def __init__(self, client: NodeClient) -> None:
        self.found: Mapping[tuple[str, str], FileMetadata] = {}
        """(folder, file) -> facts."""
        self._client = client
        self._known: dict[_Key, FileMetadata] = {}
        self._tries: Counter[_Key] = Counter()

    def read_some(self, models: NodeModels) -> None:
        """Read some headers of files that are new. Never raises for the answers of the node."""
        files = {
            _key(file): file
            for file in models.files()
            if file.kind in KINDS and file.name.lower().endswith(".safetensors")
        }
        new = [key for key in files if key not in self._known]
        if not new and len(files) == len(self._known):
            return
        end = time.monotonic() + READ_S
        for key in new[:MOST_AT_ONCE]:
            if time.monotonic() > end or not self._read(key):
                break
        self._known = {key: facts for key, facts in self._known.items() if key in files}
        self.found = {(folder, name): facts for (folder, name, _), facts in self._known.items()}

    def _read(self, key: _Key) -> bool:
        """Read one header; False if the node does not answer now."""
        folder, name, _ = key
        try:
            self._known[key] = read_metadata(self._client.file_header(folder, name))
        except ComfyUnreachable as error:
            self._tries[key] += 1
            if self._tries[key] >= MOST_TRIES:
                log.info("the header of %s is left out: the node %s", name, error)
                self._known[key] = NO_METADATA
            return False
        except ComfyError as error:
            log.debug("the header of %s cannot be read: the node %s", name, error)
            self._known[key] = NO_METADATA
        return True


def _key(file: NodeFile) -> _Key:
    return file.folder, file.name, file.size
