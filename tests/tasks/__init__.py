"""Tests of the tasks that need no GPU."""
