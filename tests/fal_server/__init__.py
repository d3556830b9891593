"""A server of fal's queue over TLS, for `fal-client` and whatever else speaks it: see `server.FalServer`."""

from tests.fal_server.server import Behaviour, FalServer, Reply

__all__ = ["Behaviour", "FalServer", "Reply"]
