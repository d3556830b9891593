"""The registry of render nodes: those of the settings and those that an operator added."""
