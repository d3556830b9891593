"""Recipes of tasks that need no checkpoint: they run on the CPU, or with a small graph on a node."""
