"""Measures what `spectjax.follow_up` says of simulated patients who are scanned again.

    python scripts/measure_follow_up.py --patients=30

Each patient has metastases, and is scanned again with nothing else than noise, lying
otherwise, with fewer counts, on other pixels; and with another disease: of the
metastases a third is gone, a third has grown, and as many are new. The model and the
bones are those that ship. Two tables are printed: of each way to scan again how many
hotspots are said to be what, with the growth of those that are in both; and what is
said of each true change. `AREA_FACTOR`, `NEAR_MM` and `FAINT` rest on them.
"""

import pathlib
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from absl import flags

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from spectjax.bones.repeatability import read_repeatability
from spectjax.follow_up.comparison import FollowUp, Found, compare
from spectjax.follow_up.studies import Relation, by_view
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import BoneScan
from spectjax.inference.asking import choose_describe, read_examination
from spectjax.inference.ready import load_ready
from spectjax.inference.skeleton import load_skeleton
from spectjax.phantom.again import scan_again
from spectjax.phantom.frames import Frame
from spectjax.phantom.lesions import draw_anywhere
from spectjax.phantom.patient import Examination, examine
from spectjax.system.commands import refuse_arguments, run_command

_PATIENTS = flags.DEFINE_integer("patients", 30, "How many.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 2106, "Of the first.", lower_bound=0)

_GROWN = 1.6  # times longer semi-axes
_RELATION = Relation("Patient ID", None, ())


def main(argv: list[str]) -> None:
    """Simulates, compares and prints."""
    refuse_arguments(argv)
    model = load_ready()
    describe, skeleton = choose_describe(model, None, None), load_skeleton()
    repeatability = read_repeatability("thorax")

    def follow(examinations: Sequence[Examination]) -> FollowUp:
        problems = Problems(pathlib.Path())
        before, after = (
            read_examination(
                model, describe, show(each), lambda s: s.name, problems, skeleton
            )
            for each in examinations
        )
        return compare(before, after, _RELATION, model.info, repeatability)

    said: dict[str, Counter[str]] = defaultdict(Counter)
    growths: dict[str, list[float]] = defaultdict(list)
    for number in range(_PATIENTS.value):
        first = examine(_SEED.value + number)
        for way, again in scan_in_each_way(first).items():
            follow_up = follow([first, again])
            for each in follow_up.found:
                said[way][each.change.kind] += 1
                growths[way] += [each.change.growth] if each.change.growth else []
        other, fates = change_disease(first)
        follow_up = follow([first, other])
        for each in follow_up.found:
            truth = tell_truth(each, follow_up, (first, other), fates)
            said[f"truly {truth}"][each.change.kind] += 1
        print(f"{number + 1} of {_PATIENTS.value} patients", flush=True)
    print_tables(said, growths)


def show(examination: Examination) -> list[BoneScan]:
    """Returns the views of a simulated scan as if they had been read from a file."""
    return list(examination.patient.show().values())


def scan_in_each_way(first: Examination) -> dict[str, Examination]:
    """Returns scans of an unchanged patient."""
    other = Frame((1024, 256), 2.4 if first.patient.spacing_mm < 2.35 else 2.26)
    return {
        "noise alone": scan_again(first, 1),
        "lying otherwise": scan_again(first, 2, lie_down=True),
        "0.6 of the counts": scan_again(first, 3, counts=0.6, lie_down=True),
        "other pixels": scan_again(first, 4, frame=other, lie_down=True),
    }


def change_disease(first: Examination) -> tuple[Examination, tuple[list[str], ...]]:
    """Returns a scan of a patient whose disease has changed.

    And the fate of each lesion of the first scan, and of the second.
    """
    foci = list(first.foci)
    third = len(foci) // 3
    gone, grown, same = foci[:third], foci[third : 2 * third], foci[2 * third :]
    rng = np.random.default_rng([_SEED.value, len(foci)])
    bones = first.subject.skeleton
    nothing = np.zeros(len(bones.weight), bool)
    new = [draw_anywhere(rng, bones, nothing) for _ in gone]
    later = [focus.grow(_GROWN) for focus in grown] + same
    other = scan_again(first, 5, lie_down=True, foci=later + new)
    kept = ["grown"] * len(grown) + ["the same"] * len(same)
    return other, (["gone"] * len(gone) + kept, kept + ["new"] * len(new))


def tell_truth(
    each: Found,
    follow_up: FollowUp,
    examinations: Sequence[Examination],
    fates: Sequence[Sequence[str]],
) -> str:
    """Returns the fate of the lesions under what is marked, "nothing" without any."""
    found = set()
    for reading, examination, own, numbers in zip(
        (follow_up.before, follow_up.after),
        examinations,
        fates,
        (each.change.before, each.change.after),
        strict=True,
    ):
        if not numbers:
            continue
        masks = examination.patient.views[each.view].lesion_masks
        hotspots = by_view(reading)[each.view][1].hotspots or ()
        for number in numbers:
            hit = (masks & hotspots[number].mask).any(axis=(1, 2))
            found |= {fate for fate, is_hit in zip(own, hit, strict=True) if is_hit}
    return " and ".join(sorted(found)) or "nothing"


def print_tables(
    said: dict[str, Counter[str]], growths: dict[str, list[float]]
) -> None:
    """Prints what was said of what, and how areas scattered."""
    kinds = ("new", "gone", "larger", "smaller", "unchanged", "cannot tell")
    print("| |", " | ".join(kinds), "| growth, 95 % within 1/x and x |")
    print("|---" * (len(kinds) + 2) + "|")
    for way, counts in said.items():
        scatter = np.abs(np.log(growths.get(way, [])))
        factor = f"{np.exp(np.percentile(scatter, 95)):.2f}" if len(scatter) else ""
        print(f"| {way} |", " | ".join(str(counts[k]) for k in kinds), f"| {factor} |")
    every = np.log([growth for each in growths.values() for growth in each])
    if len(every):
        factor = np.exp(np.percentile(np.abs(every), 95))
        print(
            f"All {len(every)}: x = {factor:.2f}, SD of the logarithm {every.std():.2f}"
        )


if __name__ == "__main__":
    run_command(main)
