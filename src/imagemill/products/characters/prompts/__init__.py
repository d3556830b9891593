"""Prompts of character pictures: character sheets become tags, and tags become prompts.

Apart from the translator and its client, no I/O but reading the package's own data.
"""
