"""Jobs: submission, attempts, live progress and clean-up. The SQL is in `imagemill.jobs.store`."""
