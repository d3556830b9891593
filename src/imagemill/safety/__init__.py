"""Prompt checks and picture classifiers. They catch careless requests; they do not stop a determined user."""
