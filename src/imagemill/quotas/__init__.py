"""Limits of requests, jobs and pixels of an account and of an end user, and their counters."""
