"""The press: page work in child processes, jobs of it, and what follows from them."""
