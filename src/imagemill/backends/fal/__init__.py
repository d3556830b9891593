"""fal.ai as a backend: pictures by its queue, paid for by the picture."""
