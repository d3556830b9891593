"""The model library: pictures of synthetic people, by a grid of closed parameters."""
