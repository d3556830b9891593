"""Drawn portraits that look like photos: shaded faces, each with its own features. They show no real person.

Coordinates of a head: the eyes are on y = 0, the chin is at about y = 1.15, the crown at about y = -1.35, and
the widest part of the face is 2 wide.
"""

import io
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from math import cos, radians, sin
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[Any]
Rgb = tuple[float, float, float]
Hair = Literal["short", "bob", "long", "curly", "fringe"]


@dataclass(frozen=True)
class Person:
    """A person's features. Lengths are in half widths of a face; colours 0 to 1."""

    seed: int
    skin: Rgb
    hair: Rgb
    iris: Rgb
    style: Hair = "short"
    width: float = 1.0
    jaw: float = 0.3
    eye_gap: float = 0.42
    eye_width: float = 0.205
    eye_height: float = 1.0
    slant: float = 0.0
    brow_y: float = -0.30
    brow_thick: float = 0.05
    brow_arch: float = 0.06
    nose_y: float = 0.47
    nose_width: float = 0.20
    nose_bulge: float = 1.0
    nostrils: float = 1.0
    """How dark the shades of the nose are, 0 to 1."""
    mouth_y: float = 0.80
    mouth_width: float = 0.34
    lips: float = 1.0
    smile: float = 0.06
    cheeks: float = 1.0
    hairline: float = -0.72
    glasses: bool = False
    freckles: bool = False
    shirt: Rgb = (0.3, 0.45, 0.62)
    wall: Rgb = (0.62, 0.68, 0.66)


@dataclass(frozen=True)
class Shot:
    """How a person is photographed."""

    width: int = 640
    height: int = 800
    face: float = 0.42
    """Width of the face as a share of the picture's width."""
    x: float = 0.5
    y: float = 0.47
    tilt: float = 0.0
    """Degrees by which the head leans to the right."""
    turn: float = 0.0
    """Degrees by which the head is turned to the right."""
    blur: float = 0.0
    """Pixels."""
    light: float = 1.0


_SKINS = (
    (0.95, 0.78, 0.68), (0.90, 0.71, 0.59), (0.80, 0.60, 0.46), (0.64, 0.44, 0.32), (0.46, 0.30, 0.22),
    (0.93, 0.75, 0.61), (0.72, 0.52, 0.39),
)  # fmt: skip
_HAIRS = (
    (0.16, 0.10, 0.07), (0.42, 0.27, 0.15), (0.74, 0.56, 0.32), (0.55, 0.25, 0.12), (0.08, 0.07, 0.08),
    (0.60, 0.44, 0.28),
)  # fmt: skip
_IRISES = ((0.30, 0.18, 0.10), (0.33, 0.50, 0.66), (0.36, 0.48, 0.30), (0.45, 0.32, 0.16), (0.20, 0.12, 0.08))
_STYLES: tuple[Hair, ...] = ("short", "bob", "curly", "long", "fringe")


def person(seed: int) -> Person:
    """The person of this number; each has other features."""
    rng = np.random.default_rng(1000 + seed)

    def vary(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    skin = _SKINS[seed % len(_SKINS)]
    dark = sum(skin) < 1.6
    hair = _HAIRS[4 if dark else int(rng.integers(len(_HAIRS)))]
    return Person(
        seed=seed,
        skin=skin,
        hair=hair,
        iris=_IRISES[0 if dark else int(rng.integers(len(_IRISES)))],
        style=_STYLES[seed % len(_STYLES)],
        width=vary(0.90, 1.08),
        jaw=vary(0.16, 0.42),
        eye_gap=vary(0.37, 0.47),
        eye_width=vary(0.195, 0.25),
        eye_height=vary(0.75, 1.25),
        slant=vary(-0.10, 0.14),
        brow_y=vary(-0.37, -0.25),
        brow_thick=vary(0.028, 0.075),
        brow_arch=vary(0.0, 0.11),
        nose_y=vary(0.37, 0.48),
        nose_width=vary(0.14, 0.22),
        nose_bulge=vary(0.7, 1.4),
        mouth_y=vary(0.67, 0.77),
        mouth_width=vary(0.26, 0.40),
        lips=vary(0.6, 1.5),
        smile=vary(0.0, 0.12),
        cheeks=vary(0.6, 1.5),
        hairline=vary(-0.82, -0.62),
        glasses=seed % 5 == 3,
        freckles=seed % 4 == 1 and not dark,
        shirt=(vary(0.2, 0.8), vary(0.2, 0.7), vary(0.25, 0.75)),
        wall=(vary(0.45, 0.8), vary(0.5, 0.8), vary(0.5, 0.82)),
    )


def _step(value: Floats, soft: float) -> Floats:
    """1 where the value is negative, 0 where it is positive, and smooth over ``soft`` around 0."""
    share = np.clip(0.5 - value / max(soft, 1e-6), 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)


def _bump(x: Floats, y: Floats, cx: float, cy: float, rx: float, ry: float) -> Floats:
    return np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2).astype(np.float32)


def _noise(shape: tuple[int, int], cells: int, rng: np.random.Generator) -> Floats:
    grid = rng.random((cells, cells), dtype=np.float32)
    return cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _blend(base: Floats, colour: Floats | Rgb, alpha: Floats) -> Floats:
    return base + (np.asarray(colour, np.float32) - base) * alpha[..., None]


class _Portrait:
    """Draws one person in one shot, from the wall to the glasses."""

    def __init__(self, who: Person, shot: Shot) -> None:
        self.who, self.shot = who, shot
        self.rng = np.random.default_rng(who.seed)
        self.unit = shot.width * shot.face / 2
        self.px = 1.6 / self.unit
        rows, columns = np.mgrid[0 : shot.height, 0 : shot.width].astype(np.float32)
        sx = (columns - shot.x * shot.width) / self.unit
        sy = (rows - shot.y * shot.height) / self.unit
        self.sx, self.sy = sx, sy
        self.behind: Floats = np.zeros_like(sx)
        self.rows, self.columns = slice(0, shot.height), slice(0, shot.width)
        angle = radians(shot.tilt)
        # The head leans about the neck.
        ny = sy - 1.3
        self.hx = sx * cos(angle) + ny * sin(angle)
        self.y = -sx * sin(angle) + ny * cos(angle) + 1.3
        self.x = self._turned(self.hx, self.y)

    def draw(self) -> Floats:
        picture = self._wall()
        picture = self._back_hair(picture)
        picture = self._body(picture)
        picture = self._ears(picture)
        near = self._window()
        rows, columns = near.rows, near.columns
        picture[rows, columns] = _blend(picture[rows, columns], near._face(), near._inside())
        picture = self._front_hair(picture)
        if self.who.glasses:
            picture[rows, columns] = near._glasses(picture[rows, columns])
        return self._developed(picture)

    def _window(self) -> "_Portrait":
        """The part of the drawing that has the face."""
        seen = (np.abs(self.hx) < 1.3) & (np.abs(self.y) < 1.3)
        down, along = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        near = copy(self)
        near.rows, near.columns = slice(down[0], down[-1] + 1), slice(along[0], along[-1] + 1)
        for name in ("sx", "sy", "hx", "x", "y"):
            setattr(near, name, getattr(self, name)[near.rows, near.columns])
        return near

    def _turned(self, hx: Floats, y: Floats) -> Floats:
        """The x on the frontal face that is seen at ``hx`` when the head is turned."""
        turn = radians(self.shot.turn)
        if not turn:
            return hx
        x = hx.copy()
        for _ in range(12):
            depth = 0.95 * np.sqrt(np.clip(1 - x**2 * 0.8 - (y / 1.5) ** 2, 0, 1))
            depth += 0.45 * _bump(x, y, 0, self.who.nose_y - 0.04, 0.2, 0.2)
            x = 0.5 * x + 0.5 * (hx - depth * sin(turn)) / cos(turn)
        return x.astype(np.float32)

    def _half_width(self, y: Floats) -> Floats:
        who = self.who
        upper = np.sqrt(np.clip(1 - (np.minimum(y, 0) / 1.42) ** 2, 0, 1))
        share = np.clip(np.maximum(y, 0) / 1.16, 0, 1)
        lower = np.sqrt(np.clip(1 - share**2.6, 0, 1)) * (1 - who.jaw * share**1.6)
        return (who.width * np.where(y < 0, upper, lower)).astype(np.float32)

    def _inside(self) -> Floats:
        x = self.hx if not self.shot.turn else self.hx - 0.12 * np.sign(self.shot.turn)
        return _step(np.abs(x) - self._half_width(self.y), self.px * 1.5) * _step(self.y - 1.16, self.px * 2)

    def _wall(self) -> Floats:
        shape = self.sx.shape
        shade = 1.08 - 0.16 * (self.sy - self.sy.min()) / np.ptp(self.sy)
        wall = np.asarray(self.who.wall, np.float32) * shade[..., None]
        spots = cv2.GaussianBlur(_noise(shape, 7, self.rng) - 0.5, (0, 0), self.unit * 0.18)
        wall = wall * (1 + 0.35 * spots[..., None])
        for _ in range(9):
            at = self.rng.uniform(-2.6, 2.6, 2)
            radius = self.rng.uniform(0.15, 0.45)
            disc = _step(np.hypot(self.sx - at[0], self.sy - at[1]) - radius, 0.12)
            wall = _blend(wall, (1.0, 0.97, 0.88), disc * 0.13)
        return wall.astype(np.float32)

    def _strands(self, curl: float = 0.0) -> Floats:
        """Brightness of hair, as fine lines that fall from the crown."""
        x, y = self.hx, self.y
        # The lines fan out from the crown and hang down below the temples.
        angle = np.arctan2(x, 0.85 + 0.2 * np.logaddexp(0, (-0.10 - y) / 0.2))
        radius = np.hypot(x, y + 0.7)
        if curl:
            angle = angle + curl * np.sin(radius * 13 + 5 * x) * 0.12
        lines = np.zeros_like(x)
        for cells, weight in ((90, 0.4), (260, 0.35), (700, 0.25)):
            grid = self.rng.random((5, cells), dtype=np.float32)
            u = (angle / 6.3 + 0.5) * (cells - 1)
            v = np.clip(radius * 1.4, 0, 3.99)
            lines += weight * cv2.remap(grid, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR)
        sheen = np.exp(-(((radius - 0.62 - 0.08 * x) / 0.22) ** 2)) * 0.5
        falloff = 0.25 * np.clip(x, -1.2, 1.2)
        return (0.5 + 0.75 * lines + sheen * lines - falloff * 0.6).astype(np.float32)

    def _hair_colour(self, curl: float = 0.0) -> Floats:
        return np.asarray(self.who.hair, np.float32) * self._strands(curl)[..., None]

    def _back_hair(self, picture: Floats) -> Floats:
        x, y, style = self.hx, self.y, self.who.style
        wide, low = {
            "short": (1.03, 0.15), "fringe": (1.06, 0.35), "bob": (1.24, 1.0),
            "long": (1.28, 2.3), "curly": (1.38, 0.9),
        }[style]  # fmt: skip
        wide *= self.who.width
        edge = (
            0.05 * (self._strands() - 1) if style != "curly" else 0.22 * (_noise(x.shape, 26, self.rng) - 0.5)
        )
        dome = np.hypot(x / wide, np.minimum(y + 0.15, 0) / 1.32) - 1 + edge
        flare = 1 + 0.05 * np.clip(y, 0, 2)
        sides = np.maximum(np.abs(x) / (wide * flare) - 1 + edge, (y - low) * 2 + 3 * edge)
        self.behind = np.where(y < -0.15, _step(dome, self.px * 3), _step(sides, self.px * 4))
        return _blend(picture, self._hair_colour(2.0 if style == "curly" else 0.0) * 0.62, self.behind)

    def _body(self, picture: Floats) -> Floats:
        x, y, who = self.sx, self.sy, self.who
        skin = np.asarray(who.skin, np.float32)
        round_neck = np.sqrt(np.clip(1 - (x / 0.62) ** 2, 0, 1))
        shade = 0.40 + 0.42 * round_neck - 0.12 * x
        shade = shade * (1 - 0.32 * np.exp(-(((y - 1.12) / 0.28) ** 2)))
        neck = _step(np.abs(x) - 0.50 - 0.35 * np.clip(y - 1.15, 0, 1) ** 2, self.px * 2) * _step(
            0.6 - y, 0.05
        )
        picture = _blend(picture, skin * shade[..., None], neck)
        top = 1.42 + 0.12 * np.abs(x) ** 1.6 + 0.55 * (np.abs(x) / 1.62) ** 9
        shoulders = _step(np.maximum(top - y, np.abs(x) - 1.62 - 0.12 * (y - 2)), self.px * 2)
        collar = _step(np.hypot(x / 0.72, (y - 1.25) / 0.42) - 1, self.px * 2)
        folds = cv2.GaussianBlur(_noise(x.shape, 14, self.rng), (0, 0), self.unit * 0.06) - 0.5
        cloth = np.asarray(who.shirt, np.float32) * (0.80 + 0.22 * folds - 0.10 * x)[..., None]
        weave = 1 + 0.03 * np.sin(self.sx * self.unit * 1.4)[..., None]
        rim = np.exp(-(((np.hypot(x / 0.72, (y - 1.25) / 0.42) - 1.07) / 0.05) ** 2))
        picture = _blend(picture, cloth * weave, shoulders * (1 - collar))
        return _blend(picture, np.asarray(who.shirt, np.float32) * 0.55, shoulders * (1 - collar) * rim * 0.8)

    def _ears(self, picture: Floats) -> Floats:
        who = self.who
        skin = np.asarray(who.skin, np.float32)
        for side in (-1, 1):
            if self.shot.turn * side > 8:
                continue
            cx = side * (who.width * 0.99)
            far = np.hypot((self.hx - cx) / 0.155, (self.y - 0.14) / 0.29)
            inner = np.hypot((self.hx - cx * 1.02) / 0.085, (self.y - 0.13) / 0.19)
            tone = 0.92 - 0.20 * _step(inner - 1, 0.7) - 0.10 * side
            picture = _blend(picture, skin * tone[..., None] * (1, 0.93, 0.9), _step(far - 1, self.px * 7))
        return picture

    def _relief(self) -> Floats:
        """Height of the skin towards the camera."""
        x, y, who = self.x, self.y, self.who
        wide = np.hypot(self._half_width(y), 0.22)
        z = 0.95 * np.sqrt(np.clip(1 - (x / (wide * 1.02)) ** 2, 0, 1) * np.clip(1 - (y / 1.5) ** 2, 0, 1))
        nose = who.nose_y
        bridge = np.exp(-((x / 0.12) ** 2)) * np.clip((y + 0.18) / (nose + 0.1), 0, 1) ** 1.3
        z += 0.21 * bridge * _step(y - nose - 0.02, 0.34)
        z += 0.10 * who.nose_bulge * _bump(x, y, 0, nose - 0.08, 0.14, 0.14)
        for side in (-1, 1):
            z += 0.075 * who.nose_bulge * _bump(x, y, side * who.nose_width * 0.72, nose - 0.04, 0.085, 0.085)
            z -= 0.11 * _bump(x, y, side * who.eye_gap, -0.02, 0.25, 0.17)
            z += 0.055 * _bump(x, y, side * who.eye_gap, -0.01, 0.17, 0.10)
            z += 0.05 * _bump(x, y, side * who.eye_gap * 1.0, who.brow_y + 0.03, 0.30, 0.10)
            z += 0.10 * who.cheeks * _bump(x, y, side * 0.55, 0.40, 0.27, 0.24)
            z -= 0.030 * _bump(x - side * 0.42 * (y - 0.2), y, side * 0.22, 0.62, 0.05, 0.20)
        mouth, lips = who.mouth_y, who.lips
        z += 0.045 * _bump(x, y, 0, mouth, 0.34, 0.20)
        z += 0.035 * lips * _bump(x, y, 0, mouth + 0.075, who.mouth_width * 0.6, 0.055)
        z += 0.028 * lips * _bump(x, y, 0, mouth - 0.05, who.mouth_width * 0.7, 0.04)
        z -= 0.035 * _bump(x, y, 0, mouth + 0.17, 0.22, 0.05)
        z -= 0.018 * _bump(x, y, 0, mouth - 0.14, 0.035, 0.08)
        z += 0.07 * _bump(x, y, 0, mouth + 0.28, 0.22, 0.11)
        return z.astype(np.float32)

    def _face(self) -> Floats:
        albedo = self._skin()
        z = cv2.GaussianBlur(self._relief(), (0, 0), max(0.6, self.unit * 0.008))
        dy, dx = np.gradient(z * self.unit)
        norm = np.sqrt(dx**2 + dy**2 + 1)
        light = np.asarray((-0.42, -0.46, 0.78), np.float32)
        facing = (-dx * light[0] - dy * light[1] + light[2]) / norm
        lit = np.clip((facing + 0.30) / 1.25, 0, 1) ** 1.1
        half = np.asarray((-0.22, -0.24, 0.945), np.float32)
        gloss = np.clip((-dx * half[0] - dy * half[1] + half[2]) / norm, 0, 1) ** 38
        warm = np.stack([0.36 + 0.68 * lit, 0.25 + 0.79 * lit, 0.21 + 0.83 * lit], -1)
        shaded = albedo * warm * self.shot.light + 0.13 * gloss[..., None]
        brow_shadow = np.exp(-(((self.y - self.who.hairline - 0.06) / 0.10) ** 2)) * 0.20
        shaded = shaded * (1 - brow_shadow[..., None])
        shaded = self._mouth(shaded)
        for side in (-1, 1):
            shaded = self._eye(shaded, side)
            shaded = self._brow(shaded, side)
        return shaded.astype(np.float32)

    def _skin(self) -> Floats:
        x, y, who = self.x, self.y, self.who
        albedo = np.broadcast_to(np.asarray(who.skin, np.float32), (*x.shape, 3)).copy()
        patches = cv2.GaussianBlur(_noise(x.shape, 40, self.rng), (0, 0), self.unit * 0.03) - 0.5
        albedo *= 1 + 0.05 * patches[..., None]
        pores = self.rng.normal(0, 0.012, x.shape).astype(np.float32)
        albedo *= 1 + cv2.GaussianBlur(pores, (0, 0), 0.7)[..., None]
        rosy = np.asarray(who.skin, np.float32) * (1.02, 0.74, 0.72)
        for side in (-1, 1):
            albedo = _blend(albedo, rosy, 0.42 * _bump(x, y, side * 0.56, 0.42, 0.30, 0.22))
        albedo = _blend(albedo, rosy, 0.22 * _bump(x, y, 0, who.nose_y - 0.05, 0.17, 0.12))
        if who.freckles:
            albedo = self._freckles(albedo)
        nostril = np.asarray(who.skin, np.float32) * 0.34
        for side in (-1, 1):
            hole = _bump(x, y, side * who.nose_width * 0.45, who.nose_y + 0.005, 0.055, 0.028)
            albedo = _blend(albedo, nostril, 0.85 * who.nostrils * hole)
            wing = _bump(x, y, side * who.nose_width * 1.06, who.nose_y - 0.03, 0.022, 0.07)
            albedo = _blend(albedo, nostril * 1.7, 0.45 * who.nostrils * wing)
        shade = 0.35 * who.nostrils * _bump(x, y, 0, who.nose_y + 0.05, who.nose_width, 0.03)
        return _blend(albedo, nostril * 1.7, shade)

    def _freckles(self, albedo: Floats) -> Floats:
        x, y = self.x, self.y
        spots = np.zeros_like(x)
        for _ in range(85):
            cx, cy = self.rng.normal(0, 0.42), self.rng.normal(0.30, 0.13)
            spots += self.rng.uniform(0.2, 0.7) * _bump(x, y, cx, cy, 0.018, 0.016)
        return _blend(
            albedo, np.asarray(self.who.skin, np.float32) * (0.72, 0.55, 0.44), np.clip(spots, 0, 0.7)
        )

    def _mouth(self, face: Floats) -> Floats:
        who, x = self.who, self.x
        share = np.abs(x) / who.mouth_width
        y = self.y - who.mouth_y + who.smile * np.minimum(share, 1.2) ** 2 * 1.2 - who.smile * 0.4
        open_ = np.sqrt(np.clip(1 - share**2, 0, 1))
        bow = 0.030 * np.exp(-((x / 0.055) ** 2))
        upper = -0.085 * who.lips * open_**1.2 + bow
        lower = 0.125 * who.lips * open_**1.1
        red = np.asarray(who.skin, np.float32) * (0.86, 0.57, 0.56)
        mask = _step(np.maximum(upper - y, y - lower), self.px * 4) * (share < 1)
        shade = np.where(y < 0, 0.80, 1.0 + 0.22 * np.exp(-(((y - 0.05) / 0.03) ** 2)))
        face = _blend(face, red * shade[..., None] * self.shot.light, 0.75 * mask)
        line = np.exp(-((y / 0.016) ** 2)) * _step(share - 1, 0.10)
        face = _blend(face, np.asarray(who.skin, np.float32) * (0.34, 0.15, 0.14), 0.9 * line)
        for side in (-1, 1):
            corner = _bump(x, y, side * who.mouth_width, 0.0, 0.035, 0.03)
            face = _blend(face, np.asarray(who.skin, np.float32) * 0.42, 0.6 * corner)
        return face

    def _eye(self, face: Floats, side: int) -> Floats:
        who, light = self.who, self.shot.light
        x = (self.x - side * who.eye_gap) * side
        y = self.y + who.slant * x
        wide, tall = who.eye_width, who.eye_height
        share = np.abs(x) / wide
        lid = np.clip(1 - share**2.1, 0, 1)
        upper, lower = -0.105 * tall * lid**0.85, 0.060 * tall * lid
        dark = np.asarray(who.skin, np.float32) * 0.22
        fold = np.exp(-(((y + 0.155 * tall * lid**0.6 + 0.012) / 0.020) ** 2)) * _step(share - 1.0, 0.3)
        face = _blend(face, dark * 1.6, 0.42 * fold)
        under = np.exp(-(((y - 0.125 - 0.02 * lid) / 0.05) ** 2)) * _step(share - 0.95, 0.4)
        face = _blend(face, np.asarray(who.skin, np.float32) * (0.70, 0.56, 0.55), 0.28 * under)
        white = _step(np.maximum(upper - y, y - lower), self.px * 3) * (share < 1)
        ball = (
            0.90
            - 0.30 * np.clip(np.hypot(x, y * 1.5) / wide, 0, 1) ** 2
            - 0.42 * np.exp(-np.maximum(y - upper, 0) / 0.03)
        )
        face = _blend(face, np.asarray((1.0, 0.965, 0.945), np.float32) * ball[..., None] * light, white)
        radius = 0.47 * who.eye_width
        far = np.hypot(x, y + 0.022) / radius
        angle = np.arctan2(y + 0.022, x)
        fibres = 0.8 + 0.25 * np.sin(angle * 23 + who.seed) * np.sin(angle * 9 + far * 6) + 0.35 * (far - 0.4)
        iris = (
            np.asarray(who.iris, np.float32)
            * fibres[..., None]
            * (1 + 0.5 * np.clip(y / radius, -1, 1))[..., None]
        )
        face = _blend(face, iris * light, white * _step(far - 1, 0.16))
        ring = np.exp(-(((far - 0.96) / 0.10) ** 2))
        face = _blend(face, np.asarray(who.iris, np.float32) * 0.25, white * ring * 0.8)
        face = _blend(face, (0.02, 0.02, 0.02), white * _step(far - 0.44, 0.14))
        glint = np.hypot(self.x - side * who.eye_gap + 0.030, y + 0.055)
        face = _blend(face, (1.0, 1.0, 1.0), white * _step(glint - 0.022, 0.02) * 0.95)
        lash = np.exp(-(((y - upper) / 0.020) ** 2)) * _step(share - 1.0, 0.12)
        face = _blend(face, dark * 0.5, 0.92 * lash)
        rim = np.exp(-(((y - lower) / 0.012) ** 2)) * _step(share - 0.98, 0.15)
        face = _blend(face, dark * 1.3, 0.45 * rim)
        tear = _bump(x, y, -wide * 0.97, 0.01, 0.028, 0.024)
        return _blend(face, np.asarray(who.skin, np.float32) * (0.85, 0.52, 0.50), 0.6 * tear)

    def _brow(self, face: Floats, side: int) -> Floats:
        who = self.who
        x = (self.x - side * who.eye_gap) * side
        share = np.clip((x + 0.27) / 0.58, 0, 1)
        middle = who.brow_y - who.brow_arch * np.sin(np.pi * np.clip(share * 0.85, 0, 1)) + 0.05 * share**3
        thick = who.brow_thick * (1 - 0.65 * share**1.5)
        hairs = 0.65 + 0.5 * _noise(x.shape, 170, self.rng)
        alpha = np.exp(-(((self.y - middle) / thick) ** 4)) * _step(np.abs(x - 0.02) - 0.29, 0.09)
        colour = np.asarray(who.hair, np.float32) * 0.65
        return _blend(face, colour, np.clip(alpha * hairs, 0, 1) * 0.86)

    def _front_hair(self, picture: Floats) -> Floats:
        x, y, who = self.hx, self.y, self.who
        style = who.style
        wave = 0.10 * (_noise(x.shape, 30, self.rng) - 0.5)
        part = {"short": 0.10 * x, "bob": -0.22 * np.abs(x + 0.25), "long": -0.16 * np.abs(x - 0.1),
                "curly": 0.06 * np.sin(9 * x), "fringe": 0.03 * np.sin(31 * x)}[style]  # fmt: skip
        line = who.hairline + (0.30 if style == "fringe" else 0.0) + 0.62 * (x / who.width) ** 4 + part + wave
        wide = who.width * (1.02 if style in ("short", "fringe") else 1.18)
        dome = np.hypot(x / wide, (y + 0.10) / 1.36) - 1 + 0.04 * (self._strands() - 1)
        cap = _step(y - line, 0.07) * _step(dome, self.px * 4)
        if style in ("bob", "long", "curly"):
            low = {"bob": 0.95, "long": 2.2, "curly": 0.75}[style]
            lock = np.maximum(np.abs(np.abs(x) - who.width * 1.10) - 0.22, y - low) + wave
            cap = np.maximum(cap, _step(lock, 0.09) * _step(-0.55 - y, 0.3) * self.behind)
        shadow = cv2.GaussianBlur(cap, (0, 0), self.unit * 0.06) * (1 - cap)
        picture = picture * (1 - 0.42 * shadow[..., None] * self._inside()[..., None])
        return _blend(picture, self._hair_colour(2.0 if style == "curly" else 0.0), cap)

    def _glasses(self, picture: Floats) -> Floats:
        who, x, y = self.who, self.x, self.y
        frame = np.zeros_like(x)
        for side in (-1, 1):
            cx = side * who.eye_gap
            far = (np.abs((x - cx) / 0.315) ** 3 + np.abs((y - 0.03) / 0.235) ** 3) ** (1 / 3)
            frame = np.maximum(frame, np.exp(-(((far - 1) / 0.085) ** 4)))
            glare = _step(far - 0.95, 0.05) * np.exp(-(((x - cx + 0.6 * y + 0.12) / 0.05) ** 2))
            picture = _blend(picture, (1, 1, 1), glare * 0.16)
            arm = _step(np.maximum(np.abs(y + 0.04) - 0.025, np.abs(x - side * 0.88) - 0.15), self.px * 3)
            frame = np.maximum(frame, arm * self._inside())
        bridge = np.exp(-(((y + 0.02 - 0.9 * x**2) / 0.028) ** 2)) * _step(
            np.abs(x) - who.eye_gap + 0.30, 0.03
        )
        frame = np.maximum(frame, bridge)
        return _blend(picture, (0.10, 0.08, 0.09), frame * 0.93)

    def _developed(self, picture: Floats) -> Floats:
        picture = np.clip(picture, 0, 1.2)
        if self.shot.blur:
            picture = cv2.GaussianBlur(picture, (0, 0), self.shot.blur)
        else:
            picture = cv2.GaussianBlur(picture, (0, 0), 0.6)
        grain = self.rng.normal(0, 0.008, picture.shape[:2]).astype(np.float32)
        corner = 1 - 0.10 * np.clip((self.sx**2 + self.sy**2) / 9, 0, 1)
        return np.clip((picture + grain[..., None]) * corner[..., None], 0, 1) ** 0.93


def draw_photo(who: Person, shot: Shot = Shot()) -> NDArray[np.uint8]:
    return (_Portrait(who, shot).draw() * 255).round().astype(np.uint8)


def as_jpeg(picture: NDArray[np.uint8], quality: int = 92) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


@cache
def photo(seed: int) -> bytes:
    """The photo of the person with this number, as JPEG. The pose differs a little between persons."""
    rng = np.random.default_rng(seed)
    shot = Shot(tilt=float(rng.uniform(-6, 6)), face=float(rng.uniform(0.36, 0.46)))
    return as_jpeg(draw_photo(person(seed), shot))


@cache
def two_children() -> bytes:
    """A photo with two faces of about the same size."""
    left = draw_photo(person(1), Shot(face=0.40))
    right = draw_photo(person(2), Shot(face=0.40))
    return as_jpeg(np.hstack([left, right]))


def shot_of(seed: int, **changes: float) -> bytes:
    """A photo that differs from the usual one, such as ``turn=50``."""
    return as_jpeg(draw_photo(person(seed), replace(Shot(), **changes)))  # pyright: ignore[reportArgumentType]
