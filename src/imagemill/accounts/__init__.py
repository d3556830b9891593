"""Accounts: access, API keys, users, sessions, passwords, throttling and the audit log."""
