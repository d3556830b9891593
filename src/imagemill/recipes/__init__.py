"""What is made. One module a family of recipes; each registers by the entry point ``imagemill.recipes``."""
