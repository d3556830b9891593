"""Pictures as bytes in, bytes out: no I/O. Every picture is treated as hostile."""
