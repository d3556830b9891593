"""The built-in backend: this process runs tasks that need no GPU."""
