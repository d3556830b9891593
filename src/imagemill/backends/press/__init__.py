"""The press: page work on pictures and documents, on the CPU of a worker."""
