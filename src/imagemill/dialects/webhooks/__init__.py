"""``/api/v1/webhooks``: endpoints that are told what becomes of an owner's jobs."""
