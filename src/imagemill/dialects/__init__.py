"""Foreign protocols, one package each, registered by the entry point ``imagemill.dialects``."""
