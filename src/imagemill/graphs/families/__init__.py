"""The model families that graphs of core nodes are built for: a table in TOML, and its reader."""
