"""Webhooks: endpoints, messages, callbacks and their delivery from the outbox."""
