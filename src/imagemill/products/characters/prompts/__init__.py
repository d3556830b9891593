"""The words of pictures: character sheets become tags, tags become prompts. Pure, no I/O but its own data."""
