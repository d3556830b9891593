"""The SQL of jobs: submit, claim, heartbeat, finish, queries."""
