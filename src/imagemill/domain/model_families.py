"""The families that a model without further choice should have, and the size of their pictures."""

BUILT = ("sdxl", "sd1", "sd2", "flux1")
"""The families that a default model should have before all others, the preferred one first."""

_SIDES = {"sd1": 512, "sd2": 768}


def native_side(family: str) -> int:
    """Return the side in pixels of the square pictures that a family was trained on."""
    return _SIDES.get(family, 1024) if family else 512
