"""The few pictures of the example of a book of one's own, in flat colours."""

from tools.sample_book import nature, people
from tools.sample_book.ink import Ink
from tools.sample_book.people import FacePlace


def _hill(ink: Ink) -> None:
    ink.wash("#bfe0ea")
    for x, y, far in ((200, 210, 70), (280, 190, 90), (360, 215, 64), (760, 320, 60), (830, 300, 80)):
        ink.ellipse(x, y, far * 1.3, far * 0.7, "#ffffff")
    ink.shape(
        [(-80, 800), (220, 640), (520, 620), (820, 700), (1080, 660), (1080, 1080), (-80, 1080)], "#9cc862"
    )


def _meadow(ink: Ink) -> None:
    ink.shape(
        [(-80, 860), (240, 760), (560, 750), (860, 790), (1080, 760), (1080, 1080), (-80, 1080)], "#dcedb8"
    )


def _kite(ink: Ink, x: float, y: float, size: float, hand: tuple[float, float]) -> None:
    ink.line([(x, y + size), (x - 40, (y + hand[1]) / 2), hand], "#6b5a5a", 3)
    ink.polygon([(x, y - size), (x + size * 0.7, y), (x, y + size), (x - size * 0.7, y)], "#e4574c")
    ink.polygon([(x, y - size), (x + size * 0.7, y), (x, y)], "#f2c14a")
    ink.polygon([(x, y + size), (x - size * 0.7, y), (x, y)], "#5a9a9a")


def flying(ink: Ink) -> list[FacePlace]:
    _hill(ink)
    _kite(ink, 790, 200, 110, (640, 560))
    arms = (((-56, 106), (-78, 150), (-70, 196)), ((56, 106), (96, 120), (106, 98)))
    faces = [people.child(ink, 440, 360, 1.8, tilt=5, mood="happy", arms=arms)]
    _meadow(ink)
    return faces


def away(ink: Ink) -> list[FacePlace]:
    _hill(ink)
    _kite(ink, 520, 330, 70, (430, 560))
    nature.round_tree(ink, 800, 720, 110, "#74ac5f")
    _meadow(ink)
    return []


def sheet(ink: Ink) -> list[FacePlace]:
    ink.wash("#fff6e6")
    return [
        people.child(ink, 280, 330, 1.8, arms=people.DOWN),
        people.child(ink, 720, 330, 1.8, look=1, tilt=-3, arms=people.DOWN),
    ]
