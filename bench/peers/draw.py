"""Draw curves as a PNG: `draw.py < JSON`, whose fields are those of bench.plots.plot."""

import json
import sys

from matplotlib.figure import Figure

COLOURS = ("#1f6feb", "#d1242f", "#2da44e", "#8250df")


def draw() -> None:
    """Read, draw, and write the file."""
    given = json.load(sys.stdin)
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = [figure.subplots()]
    if given["right"]:
        axes.append(axes[0].twinx())
        axes[1].set_ylabel(given["right"])
    for curve, colour in zip(given["curves"], COLOURS, strict=False):
        axis = axes[curve["axis"]]
        marker = "o" if len(curve["x"]) < 20 else ""
        style = "--" if curve["axis"] else "-"
        axis.plot(curve["x"], curve["y"], style, color=colour, label=curve["label"], marker=marker)
    if given["log_x"]:
        axes[0].set_xscale("log")
    axes[0].set(title=given["title"], xlabel=given["x"], ylabel=given["y"])
    for axis in axes:
        axis.set_ylim(bottom=0)
    axes[0].grid(visible=True, alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)
    figure.savefig(given["file"], dpi=110)


if __name__ == "__main__":
    draw()
