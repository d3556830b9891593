"""Stored workflows: named, versioned graphs with inputs."""
