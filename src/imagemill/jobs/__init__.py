"""Jobs: submit, run, follow, sweep. The SQL is in `imagemill.jobs.store`."""
