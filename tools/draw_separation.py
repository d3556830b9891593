"""Draw the identity scores of the right child and of other children for the documentation.

    python -m tools.draw_separation [FILE]

It takes about two minutes: 20 drawn photos on 5 pages, see `tests.books.proof_identity`.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from tests.books.drawn_pages import PAGES
from tests.books.proof_identity import Separation, separate

PICTURE = Path("docs/images/identity-separation.png")
_RIGHT, _WRONG, _INK = "#2a7f6f", "#c8553d", "#30343a"


def draw(found: Separation, file: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 11, "text.color": _INK, "axes.labelcolor": _INK})
    figure, axes = plt.subplots(figsize=(8, 3.8), dpi=130)
    bins = [float(edge) for edge in np.linspace(0, 1, 51)]
    for scores, colour, name in (
        (found.wrong, _WRONG, f"another child ({len(found.wrong)} comparisons)"),
        (found.right, _RIGHT, f"the right child ({len(found.right)} pages)"),
    ):
        weights = [100 / len(scores)] * len(scores)
        axes.hist(scores, bins=bins, weights=weights, color=colour, alpha=0.75, label=name)
    axes.set(xlim=(0, 1), xlabel="identity score", ylabel="share in %")
    axes.set_title(
        f"Page against approved reference: the right child wins on {found.share:.0%} of pages",
        fontsize=12, loc="left", color=_INK,
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.tight_layout()
    figure.savefig(file, metadata={"Software": None})


def main() -> None:
    draw(separate(range(20), PAGES), Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)


if __name__ == "__main__":
    main()
