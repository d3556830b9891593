"""fal.ai as a backend: pictures from its queue, paid per picture."""
