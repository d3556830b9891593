"""Outgoing HTTP: a client that refuses private addresses, and back-off."""
