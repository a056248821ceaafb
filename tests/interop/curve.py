"""The curve of a run that was killed and resumed, over that of one that was not.

    curve.py UNDISTURBED RESUMED KILLED_AT PICTURE

UNDISTURBED and RESUMED are `metrics.jsonl` of the two runs, KILLED_AT the steps after which the second one was ended,
separated by commas.
"""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def read(path):
    lines = [json.loads(line) for line in open(path)]
    steps = {line["step"]: line["loss"] for line in lines if "loss" in line}
    fixed = {line["step"]: line["fixed_loss"] for line in lines if "fixed_loss" in line}
    return steps, fixed


def main(undisturbed, resumed, killed_at, picture):
    (steps, fixed), (steps_again, fixed_again) = read(undisturbed), read(resumed)
    figure, axes = plt.subplots(figsize=(9, 4.2), dpi=110)
    axes.plot(*zip(*steps.items()), color="#9ecae1", linewidth=4, label="step loss, undisturbed")
    axes.plot(*zip(*steps_again.items()), color="#08519c", linewidth=1, label="step loss, resumed")
    axes.plot(*zip(*fixed.items()), color="#fdae6b", linewidth=6, label="loss on fixed draws, undisturbed")
    axes.plot(*zip(*fixed_again.items()), color="#a63603", linewidth=1.5, marker="o", markersize=4, label="loss on fixed draws, resumed")
    for number, step in enumerate(int(step) for step in killed_at.split(",")):
        axes.axvline(step, color="black", linestyle=":", linewidth=1, label=None if number else "killed after this step")
    apart = max(abs(steps[step] - steps_again[step]) for step in steps)
    axes.set(xlabel="step", ylabel="loss", title=f"{len(steps)} steps each; largest difference of a step loss: {apart:g}")
    axes.set_xlim(0, max(steps))
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(picture)
    assert steps == steps_again and fixed == fixed_again, "the curves differ"


if __name__ == "__main__":
    main(*sys.argv[1:])
