"""Access over HTTP: keys, owners, users, sessions, the audit log."""
