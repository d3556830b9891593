"""fal.ai's queue and its direct calls, as its published client uses them."""
