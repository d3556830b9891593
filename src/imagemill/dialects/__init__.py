"""How clients speak. One package a dialect, registered by the entry point ``imagemill.dialects``."""
