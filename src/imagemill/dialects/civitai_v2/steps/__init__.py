"""The step types: each file reads the inputs of some and shapes their outputs."""
