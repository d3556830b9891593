"""What Prometheus is told of a process: counted where it happens, or looked up when it asks."""
