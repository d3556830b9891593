"""Database access for every feature: engine, group commit, statements, locks, tables and migrations."""
