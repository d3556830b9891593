"""Imagemill's own API: jobs of every recipe, their events, cancel and replay."""
