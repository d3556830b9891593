"""Draw the pictures of the architecture, the states of a job and a fleet for docs/images as SVG.

    python tools/draw_architecture.py [FOLDER]

The layers come from import-linter's contract in pyproject.toml, the states from `TRANSITIONS` in
src/imagemill/domain/jobs.py (read, not imported). A test compares the files with what this program draws.
"""

import ast
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
# Widths of a character in parts of the font size; the widest of the fonts above.
SANS_WIDTH, MONO_WIDTH = 0.58, 0.605
PAPER, EDGE, INK, SOFT = "#fbfaf7", "#d9d5cb", "#22252b", "#5c6470"

KINDS = {
    "start": ("#e8e6f6", "#5a4fa8", "commands, start"),
    "edge": ("#dcebf9", "#22639c", "HTTP, products"),
    "core": ("#fdeccf", "#9a5b00", "jobs and features"),
    "making": ("#dff2e2", "#2a7040", "pictures and files"),
    "base": ("#e9eaec", "#4c545e", "technical base"),
    "domain": ("#fadfe0", "#9d2f38", "rules, without I/O"),
}
PACKAGES = {
    "testing": ("start", "a server for tests, and the contracts of plug-ins"),
    "cli": ("start", "the commands; those for users speak HTTP"),
    "bootstrap": ("start", "builds the parts from the settings, starts and stops them"),
    "config": ("start", "reads settings from environment, .env and TOML"),
    "dispatch": ("edge", "starts work: threads in the process, or Celery"),
    "products": ("edge", "characters and the model library, each whole in its folder"),
    "dialects": ("edge", "foreign protocols: Civitai v1, fal"),
    "api": ("edge", "our own REST API, a file a resource"),
    "web": ("edge", "what every API shares: auth, problems, streams, files"),
    "webhooks": ("core", "endpoints, outbox, delivery"),
    "workflows": ("core", "stored ComfyUI graphs with typed inputs"),
    "jobs": ("core", "submit, claim, run, finish; all SQL of jobs"),
    "pubsub": ("core", "events between processes: Redis, PostgreSQL"),
    "credits": ("core", "ledger, prices, paid calls"),
    "quotas": ("core", "limits of an owner"),
    "safety": ("core", "checks of prompts and pictures"),
    "nodes": ("core", "registered ComfyUI servers"),
    "accounts": ("core", "owners, keys, users, audit log"),
    "model_registry": ("core", "registered checkpoints and LoRAs by AIR"),
    "recipes": ("making", "what is made: input model to render plan"),
    "backends": ("making", "where it is made: ComfyUI, fal, simulator, the worker itself"),
    "language": ("making", "chat completions of a language model"),
    "graphs": ("making", "ComfyUI graphs, without I/O"),
    "media": ("making", "picture bytes in, picture bytes out"),
    "blobs": ("making", "files: folder or S3"),
    "db": ("base", "engine, tables, migrations"),
    "net": ("base", "outgoing HTTP: address guard, breaker"),
    "observability": ("base", "logs, metrics, traces"),
    "settings": ("base", "groups of settings"),
    "domain": (
        "domain",
        "jobs and their states, failures, fair order, placement, AIR, image sizes, prices, moderation",
    ),
}


@dataclass
class Canvas:
    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def box(
        self, x: float, y: float, w: float, h: float, fill: str, line: str = "none", radius: int = 8
    ) -> None:
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{radius}" '
            f'fill="{fill}" stroke="{line}"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = 13,
        colour: str = INK,
        anchor: str = "start",
        bold: bool = False,
        mono: bool = False,
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        family = f' font-family="{MONO}"' if mono else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{colour}" text-anchor="{anchor}"'
            f"{weight}{family}>{escape(words)}</text>"
        )

    def path(self, d: str, colour: str = INK, dashed: bool = False, arrow: bool = True) -> None:
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        head = ' marker-end="url(#head)"' if arrow else ""
        self.parts.append(f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}{head}/>')

    def svg(self) -> str:
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{SANS}">',
                f"<title>{escape(self.title)}</title>",
                '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" '
                'markerHeight="8" orient="auto-start-reverse">'
                f'<path d="M0 0.8 10 5 0 9.2z" fill="{INK}"/></marker></defs>',
                f'<rect x="0.5" y="0.5" width="{self.width - 1}" height="{self.height - 1}" rx="14" '
                f'fill="{PAPER}" stroke="{EDGE}"/>',
                *self.parts,
                "</svg>\n",
            ]
        )


def text_width(words: str, size: float, mono: bool = False) -> float:
    return len(words) * size * (MONO_WIDTH if mono else SANS_WIDTH)


def wrapped(words: str, width: float, size: float) -> list[str]:
    """Break the words into lines that fit the width."""
    lines: list[str] = []
    for word in words.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(joined, size) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def layers() -> list[list[str]]:
    """Return the layers of the import contract, the topmost first, each with its packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    rows = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[part.strip().removeprefix("imagemill.") for part in row.split("|")] for row in rows]


def draw_layers() -> str:
    rows = layers()
    unknown = {name for row in rows for name in row} - PACKAGES.keys()
    if unknown:
        raise SystemExit(f"add {', '.join(sorted(unknown))} to PACKAGES in tools/draw_architecture.py")
    left, right, gap, size, most = 76, 976, 10, 14.5, 4
    canvas = Canvas(1000, 0, "The packages of Imagemill in layers: imports point down")
    canvas.text(left, 44, "Packages below src/imagemill", 20, bold=True)
    canvas.text(right, 44, "a package imports packages of lower bands only", 14, SOFT, "end")
    top = y = 66.0
    for row in rows:
        lines_of_cells = [row[first : first + most] for first in range(0, len(row), most)]
        heights: list[float] = []
        cells: list[tuple[float, float, float, str, list[str]]] = []
        inside = y + 8
        for names in lines_of_cells:
            width = (right - left - 16 - gap * (len(names) - 1)) / len(names)
            texts = [wrapped(PACKAGES[name][1], width - 24, size) for name in names]
            height = 38 + 18 * max(len(text) for text in texts)
            for column, (name, text) in enumerate(zip(names, texts, strict=True)):
                cells.append((left + 8 + column * (width + gap), inside, width, name, text))
                heights.append(height)
            inside += height + gap
        canvas.box(left, y, right - left, inside - gap + 8 - y, BANDS[0], radius=12)
        for (x, cell_y, width, name, text), height in zip(cells, heights, strict=True):
            fill, dark, _ = KINDS[PACKAGES[name][0]]
            canvas.box(x, cell_y, width, height, fill, dark)
            canvas.text(x + 12, cell_y + 23, name, 16, dark, bold=True, mono=True)
            for number, line in enumerate(text):
                canvas.text(x + 12, cell_y + 43 + 18 * number, line, size)
        y = inside - gap + 8 + 8
    canvas.path(f"M50 {top + 6:g}V{y - 14:g}", SOFT)
    middle = (top + y) / 2
    canvas.parts.append(
        f'<text x="36" y="{middle:g}" font-size="15" fill="{SOFT}" text-anchor="middle" '
        f'transform="rotate(-90 36 {middle:g})">imports point down</text>'
    )
    x = float(left)
    for fill, dark, words in KINDS.values():
        canvas.box(x, y + 10, 14, 14, fill, dark, 3)
        canvas.text(x + 20, y + 22, words, 13, SOFT)
        x += 20 + text_width(words, 13) + 8
    canvas.height = int(y + 44)
    return canvas.svg()


BANDS = ("#f1eee6", "#f7f5ef")
# The columns of the second picture, and its steps, each with a title and rows. A row is an arrow between two
# columns, or work within one, with a label and the module that does it.
COLUMNS = [
    ("Client, receiver", ""),
    ("API process", "imagemill api"),
    ("Database, files", "SQL; folder or S3"),
    ("Worker process", "imagemill worker"),
    ("Node", "ComfyUI, fal, simulator"),
]
CLIENT, API, STORE, WORKER, NODE = range(5)
STEPS: list[tuple[str, list[tuple[int, int, str, str]]]] = [
    (
        "Submit",
        [
            (CLIENT, API, "one or more jobs", "api/jobs.py, dialects/"),
            (API, API, "validate, check, price", "jobs/submit.py"),
            (API, STORE, "job, tag, first event", "jobs/store/submit.py"),
        ],
    ),
    (
        "Wake",
        [(API, WORKER, "there is work (names no job)", "dispatch/inline.py, dispatch/celery.py")],
    ),
    (
        "Claim",
        [
            (WORKER, STORE, "offer of an idle slot", "jobs/store/claim.py"),
            (STORE, WORKER, "a job with a lease", "domain/placement.py"),
        ],
    ),
    (
        "Run",
        [
            (WORKER, WORKER, "recipe: input to plan", "jobs/attempt.py"),
            (WORKER, NODE, "send the plan", "backends/"),
            (NODE, WORKER, "steps, previews, files", "jobs/runner.py"),
            (WORKER, STORE, "heartbeats", "jobs/store/heartbeat.py"),
        ],
    ),
    (
        "Finish",
        [
            (WORKER, WORKER, "transform and check", "media/, jobs/outputs.py"),
            (WORKER, STORE, "files, then the status", "jobs/store/finish.py"),
        ],
    ),
    (
        "Notify",
        [
            (STORE, API, "the event", "pubsub/, jobs/hub.py"),
            (API, CLIENT, "answer, event stream", "web/sse.py"),
            (STORE, CLIENT, "callbacks, signed webhooks (by the scheduler)", "webhooks/delivery.py"),
        ],
    ),
]
LABEL, MODULE = 16, 13
"""Font sizes of an arrow's label and of its module."""


def draw_job() -> str:
    left, step, row_height, top = 210, 238, 66, 112
    xs = [left + step * column for column in range(len(COLUMNS))]
    rows = sum(len(content) for _, content in STEPS)
    height = top + rows * row_height + len(STEPS) * 12 + 20
    canvas = Canvas(left + step * 4 + 150, height, "The way of one job from request to notification")
    for x, (name, note) in zip(xs, COLUMNS, strict=True):
        canvas.text(x, 44, name, 19, anchor="middle", bold=True)
        canvas.text(x, 68, note, 14.5, SOFT, "middle")
    y = float(top)
    for number, (_, content) in enumerate(STEPS):
        band = len(content) * row_height
        canvas.box(16, y - 14, canvas.width - 32, band + 4, BANDS[number % 2], radius=10)
        y += band + 12
    for x in xs:
        canvas.path(f"M{x} 84V{height - 22}", "#b9b4a7", dashed=True, arrow=False)
    y = float(top)
    for number, (title, content) in enumerate(STEPS, 1):
        canvas.parts.append(f'<circle cx="44" cy="{y + 16:g}" r="15" fill="{KINDS["edge"][1]}"/>')
        canvas.text(44, y + 22, str(number), 17, "#ffffff", "middle", bold=True)
        canvas.text(68, y + 22, title, 18, bold=True)
        for start, end, words, module in content:
            _draw_row(canvas, xs, y, start, end, words, module, BANDS[(number - 1) % 2])
            y += row_height
        y += 12
    return canvas.svg()


def _draw_row(
    canvas: Canvas, xs: list[int], y: float, start: int, end: int, words: str, module: str, background: str
) -> None:
    widest = max(text_width(words, LABEL), text_width(module, MODULE, mono=True))
    if start == end:
        x = xs[start]
        canvas.box(x - 117, y - 9, 234, 52, "#ffffff", KINDS["core"][1])
        middle, room, down = float(x), 226.0, 3
    else:
        sign = 1 if end > start else -1
        canvas.path(f"M{xs[start] + 4 * sign} {y + 17:g}H{xs[end] - 4 * sign}")
        middle = (xs[start] + xs[end]) / 2
        room, down = abs(xs[end] - xs[start]) - 12.0, 0
        if abs(end - start) > 1:  # the label crosses a lifeline
            canvas.box(middle - widest / 2 - 6, y - 8, widest + 12, 20, background, radius=3)
            canvas.box(middle - widest / 2 - 6, y + 22, widest + 12, 18, background, radius=3)
    if widest > room:
        raise SystemExit(f"{words!r} or {module!r} is too long for its arrow")
    canvas.text(middle, y + 8 + down, words, LABEL, anchor="middle")
    canvas.text(
        middle,
        y + 35 - down + (2 if start == end else 0),
        module,
        MODULE,
        KINDS["start"][1],
        "middle",
        mono=True,
    )


STATES = {
    "waiting": (110, 210),
    "queued": (380, 210),
    "running": (650, 210),
    "succeeded": (930, 130),
    "failed": (930, 290),
    "canceled": (380, 350),
    "expired": (245, 70),
}
# Paths of the arrows, and the place of their labels. Boxes are 130 x 44 around the points above.
ARROWS: dict[tuple[str, str], tuple[str, str, int, int]] = {
    ("waiting", "queued"): ("M175 210H313", "all succeeded", 244, 202),
    ("queued", "running"): ("M445 210H583", "claimed", 514, 202),
    ("running", "queued"): ("M650 188C650 130 380 130 380 186", "retry, lost worker", 515, 136),
    ("running", "succeeded"): ("M715 200C790 190 790 130 863 130", "", 0, 0),
    ("running", "failed"): ("M715 220C790 230 790 290 863 290", "", 0, 0),
    ("running", "canceled"): ("M650 232C650 350 560 350 447 350", "", 0, 0),
    ("queued", "canceled"): ("M380 232V326", "", 0, 0),
    ("waiting", "canceled"): ("M110 232C110 350 200 350 313 350", "", 0, 0),
    ("waiting", "expired"): ("M125 188C125 100 140 70 178 70", "", 0, 0),
    ("queued", "expired"): ("M365 188C365 90 355 70 312 70", "", 0, 0),
}


def transitions() -> dict[str, set[str]]:
    """Return the transition table of jobs, read from its source."""
    tree = ast.parse((ROOT / "src/imagemill/domain/jobs.py").read_text(encoding="utf-8"))
    table = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == "TRANSITIONS"
    )
    assert isinstance(table, ast.Dict)
    return {
        key.attr.lower(): {name.attr.lower() for name in ast.walk(value) if isinstance(name, ast.Attribute)}
        for key, value in zip(table.keys, table.values, strict=True)
        if isinstance(key, ast.Attribute)
    }


def draw_states() -> str:
    table = transitions()
    edges = {(start, end) for start, ends in table.items() for end in ends}
    if edges != ARROWS.keys() or table.keys() != STATES.keys():
        raise SystemExit(
            "STATES and ARROWS in tools/draw_architecture.py differ from TRANSITIONS in domain/jobs.py"
        )
    canvas = Canvas(1060, 420, "The states of a job and the changes between them")
    for path, label, x, y in ARROWS.values():
        canvas.path(path)
        canvas.text(x, y, label, 15, SOFT, "middle")
    for name, (x, y) in STATES.items():
        fill, dark, _ = KINDS["core" if table[name] else "base"]
        if name == "succeeded":
            fill, dark, _ = KINDS["making"]
        elif name == "failed":
            fill, dark, _ = KINDS["domain"]
        canvas.box(x - 65, y - 22, 130, 44, fill, dark, 22)
        canvas.text(x, y + 6, name, 17, dark, "middle", bold=True)
    canvas.text(116, 148, "has", 15, SOFT, "end")
    canvas.text(116, 168, "dependencies", 15, SOFT, "end")
    canvas.text(930, 208, "final: succeeded, failed,", 15, SOFT, "middle")
    canvas.text(930, 229, "canceled, expired", 15, SOFT, "middle")
    return canvas.svg()


# The boxes of a fleet: left edge, top, width, kind, name, note. Each is 62 high.
FLEET = [
    (40, 40, 220, "base", "Clients", "Civitai, fal, our API"),
    (390, 40, 220, "edge", "Proxy", "nginx with TLS"),
    (740, 40, 220, "edge", "API, any number", "imagemill api"),
    (62, 204, 206, "making", "PostgreSQL", "jobs and events"),
    (284, 204, 206, "making", "Broker", "wake-ups only"),
    (506, 204, 206, "making", "Redis", "live events, previews"),
    (728, 204, 206, "making", "S3 bucket", "pictures"),
    (40, 374, 280, "core", "Schedulers, one leader", "imagemill scheduler"),
    (360, 374, 280, "core", "Workers, any number", "imagemill worker --queues gpu"),
    (680, 374, 280, "core", "Worker of paid services", "imagemill worker --queues remote"),
    (40, 512, 280, "base", "Receivers", "callbacks and webhooks"),
    (360, 512, 280, "base", "ComfyUI servers", "near the worker, or by a tunnel"),
    (680, 512, 280, "base", "fal.ai", "overflow, within a ceiling"),
]
FLEET_ARROWS = [
    "M260 71H386",
    "M610 71H736",
    "M850 102V184",
    "M820 374V294",
    "M500 374V294",
    "M180 374V294",
    "M180 436V508",
    "M500 436V508",
    "M820 436V508",
]


def draw_fleet() -> str:
    canvas = Canvas(1000, 606, "A fleet: API processes, schedulers and workers around shared services")
    canvas.box(40, 188, 920, 102, BANDS[0], EDGE, 12)
    for path in FLEET_ARROWS:
        canvas.path(path)
    canvas.text(862, 148, "submits, reads", 14, SOFT)
    for x, words in ((192, "sweeps"), (512, "claims, finishes"), (832, "claims, finishes")):
        canvas.text(x, 340, words, 14, SOFT)
    for x, y, width, kind, name, note in FLEET:
        fill, dark, _ = KINDS[kind]
        canvas.box(x, y, width, 62, fill, dark)
        canvas.text(x + width / 2, y + 27, name, 16, dark, "middle", bold=True)
        mono = note.startswith("imagemill")
        canvas.text(x + width / 2, y + 48, note, 12.5 if mono else 14, INK, "middle", mono=mono)
    return canvas.svg()


PICTURES = {
    "layers.svg": draw_layers,
    "job.svg": draw_job,
    "job-states.svg": draw_states,
    "fleet.svg": draw_fleet,
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        (folder / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/images")
