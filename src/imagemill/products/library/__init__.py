"""The model library: a grid of fashion models, each made once, in versions, and edited."""
