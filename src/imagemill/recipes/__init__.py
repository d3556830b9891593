"""Recipes of the core: one module for each family. They register by the entry point ``imagemill.recipes``."""
