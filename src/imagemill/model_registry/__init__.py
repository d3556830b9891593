"""The registry of models: AIR to file, searched and completed."""
