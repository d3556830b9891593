"""The composition root: it builds every component of a process from the settings, and imports everything."""
