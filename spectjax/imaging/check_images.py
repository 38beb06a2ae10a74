r"""Reads every image that images.csv lists and says what cannot be used.

    python -m spectjax.imaging.check_images FOLDER

Prints a line for each problem, then what the rest holds. To be run before a data set is
prepared, which leaves the same rows out. Exits with 1 if a row cannot be used, with 3
if one met an error that nobody expected, a bug.
"""

import sys
import traceback
from collections import Counter

from spectjax.system.commands import read_paths, run_command
from spectjax.system.messages import UserError


def main(arguments: list[str]) -> None:
    """Checks the table of one folder."""
    from tqdm import tqdm

    from spectjax.imaging.annotations.labelme import AnnotationError
    from spectjax.imaging.identity import Identity
    from spectjax.imaging.listed.image import ImageRow, read_listed_image
    from spectjax.imaging.listed.table import (
        find_image_table,
        read_image_table,
        read_words,
    )
    from spectjax.imaging.patients import IdentityError, unite_patients
    from spectjax.imaging.problems import BUG_STATUS, describe_bug
    from spectjax.imaging.scan import ScanError

    if len(arguments) != 2:
        raise UserError("Expected one folder that holds images.csv.")
    (folder,) = read_paths(arguments)
    table = find_image_table(folder)
    if table is None:
        raise UserError(
            f"{folder}: expected a folder with images.csv in it, found none."
        )
    words = read_words(folder)
    rows, errors = read_image_table(table, words)

    problems, bugs = list(map(str, errors)), 0
    firsts: dict[str, ImageRow] = {}
    identities: list[tuple[Identity, str]] = []
    counts: dict[str, Counter[str]] = {
        name: Counter() for name in ("Views", "Labels", "Outlines", "Notes")
    }
    for row in tqdm(rows, "Reading", unit=" images", disable=None):
        try:
            listed = read_listed_image(row, words)
        except (ScanError, AnnotationError) as error:
            problems.append(str(error))
            continue
        except MemoryError:
            raise
        except Exception as error:
            traceback.print_exception(error)
            problems.append(describe_bug(row.file, error, "the output above"))
            bugs += 1
            continue
        first = firsts.setdefault(listed.scan.image_key, row)
        if first is not row:
            problems.append(
                f"{row.file}: expected an image of its own, found that of row "
                f"{first.number}, {first.file}. Delete one ({table.name}, row "
                f"{row.number})"
            )
            continue
        if listed.scan.identity:
            identities.append((listed.scan.identity, str(row.file)))
        counts["Views"][listed.scan.view] += 1
        counts["Labels"][listed.diagnosis or "not stated"] += 1
        counts["Outlines"][listed.mask_evidence] += 1
        counts["Notes"].update(listed.scan.notes)

    patients = {identity.patient for identity, _ in identities}
    try:
        patients = set(unite_patients(identities).values())
    except IdentityError as error:
        problems.append(str(error))
    for problem in problems:
        print(problem)
    used = sum(counts["Views"].values())
    listed_rows = len(rows) + len(errors)
    print(f"{used} of {listed_rows} rows can be used, {len(patients)} patients.")
    for name, counter in counts.items():
        found = ", ".join(f"{number} {what}" for what, number in counter.most_common())
        print(f"{name}: {found or 'none'}.")
    if problems:
        sys.exit(BUG_STATUS if bugs else 1)


if __name__ == "__main__":
    run_command(main)
