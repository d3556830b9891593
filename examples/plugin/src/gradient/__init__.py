"""An example of a plug-in: pictures that are gradients of two colours."""
