"""Use cases: submit, run, sweep, notify. No HTTP, no SQL."""
