"""Picture processing from bytes to bytes, without I/O. Every picture is treated as untrusted."""
