"""The only place with SQL. `Store` is one concrete class for SQLite and PostgreSQL."""
