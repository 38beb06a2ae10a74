"""Kills commands, fills their disks and moves their clocks; nothing may come to harm.

    python scripts/disturb.py --output_dir=OUT
    python scripts/disturb.py --output_dir=OUT --command=thorax --disturbance=kill

Each command runs once undisturbed: its files are the truth. Then it is disturbed:

    kill        SIGKILL after a random share of its time
    full_disk   its folder is on a disk that is full after a random share of its bytes
    read_only   its folder cannot be written
    clock       the time is a year earlier or later, or jumps while it runs

Whatever is left, a file is the true one or absent: nothing is half-written under a name
of its own. A command that cannot write says so in one line and ends with status 1. Once
the disturbance is over the same command gives the true files. Full disks and read-only
folders are small disks in memory, which only root may mount; others are told that they
were not tried. `scripts/kill_and_resume.py` does the same to training.
"""

import argparse
import contextlib
import filecmp
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.small_disk import may_mount, mount_small_disk  # noqa: E402
from spectjax.system.commands import end_plainly  # noqa: E402
from spectjax.system.messages import UserError  # noqa: E402
from spectjax.system.paths import read_path  # noqa: E402

ENVIRONMENT = {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "PYTHONPATH": str(ROOT),
    "SPECTJAX_PSEUDONYM_KEY": "a key for simulated patients",
}
YEAR = 365 * 86400
# Python runs this before a command: what asks for the time gets another one.
CLOCK = """
import random, time
real, shift = time.time, {shift}
began = real()
def moved():
    jumped = {jump} * (real() - began > {after})
    return real() + shift + jumped
time.time = moved
time.time_ns = lambda: int(moved() * 1e9)
"""

# What each command reads, below OUT/inputs, and the arguments that make it write to a
# folder.
COMMANDS: dict[str, tuple[str, ...]] = {
    "phantom": (
        "spectjax.phantom",
        "--output_dir={out}",
        "--patients=6",
        "--seed=5",
        "--processes=1",
    ),
    "deidentify": ("spectjax.imaging.deidentify", "{hospital}", "{out}/clean"),
    "thorax": ("spectjax.imaging.thorax", "--output_dir={out}", "{hospital}/dicom"),
    "prepare": (
        "tfds_spect",
        "--data_dir={out}",
        "--config=segmentation_originals",
        "--manual_dir={hospital}",
        "--processes=1",
    ),
    "predict": (
        "spectjax.predict",
        "--workdir={run}",
        "--output_dir={out}",
        "{hospital}/dicom",
    ),
    "export": (
        "spectjax.export",
        "--workdir={run}",
        "--output={out}/model.stablehlo.zip",
    ),
}


class HarmError(AssertionError):
    """Something did come to harm."""


def main() -> None:
    """Runs the command; its exit status is 0 if nothing came to harm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--command", choices=COMMANDS, action="append")
    parser.add_argument("--disturbance", choices=DISTURBANCES, action="append")
    parser.add_argument("--times", type=int, default=5, help="of each for each command")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder = read_path(args.output_dir, "--output_dir").absolute()
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: expected an empty folder, found files in it.")
    inputs = write_inputs(folder / "inputs", args.command or list(COMMANDS))
    draw = random.Random(args.seed)
    harms = 0
    for name in args.command or COMMANDS:
        case = Case(name, folder, inputs)
        for disturbance in args.disturbance or DISTURBANCES:
            if disturbance in ("full_disk", "read_only") and not may_mount():
                print(f"{name}: {disturbance} NOT TRIED: only root may mount a disk")
                continue
            survived = 0
            for _ in range(args.times):
                try:
                    DISTURBANCES[disturbance](case, draw)
                    survived += 1
                except HarmError as harm:
                    print(f"HARM {name}, {disturbance}: {harm}", flush=True)
            harms += args.times - survived
            print(f"{name}: {disturbance} {survived} of {args.times}", flush=True)
    sys.exit(harms > 0)


def write_inputs(
    folder: pathlib.Path, commands: list[str], *, patients: int = 6
) -> dict[str, pathlib.Path]:
    """Writes simulated patients, and where it is used a run with random weights."""
    from spectjax.phantom import write_phantom

    inputs = {"hospital": folder / "hospital", "run": folder / "run"}
    write_phantom(inputs["hospital"], patients=patients, seed=3, processes=1)
    if {"predict", "export"} & set(commands):
        from scripts.fuzzing.seeds import write_run

        os.chdir(ROOT)  # where configs/ is
        write_run(inputs["run"])
    return inputs


class Case:
    """One command, its true files, and how long they take.

    Attributes:
        name: of the command.
        out: the folder that it writes to.
        truth: its files after an undisturbed run.
        seconds: what that took.
        size: bytes of these files.
    """

    def __init__(
        self, name: str, folder: pathlib.Path, inputs: dict[str, pathlib.Path]
    ) -> None:
        """Runs the command once, undisturbed."""
        self.name = name
        self.out, self.truth = folder / f"{name}_out", folder / f"{name}_truth"
        self._inputs = inputs
        self.start().communicate()  # compiles what is kept for later runs
        self.clear()
        began = time.monotonic()
        self.complete()
        self.seconds = time.monotonic() - began
        shutil.copytree(self.out, self.truth)
        self.size = sum(f.stat().st_size for f in self.truth.rglob("*") if f.is_file())

    def start(self, clock: str | None = None) -> subprocess.Popen[bytes]:
        """Starts the command, its clock moved by a program or not."""
        self.out.mkdir(parents=True, exist_ok=True)
        module, *arguments = COMMANDS[self.name]
        arguments = [a.format(out=self.out, **self._inputs) for a in arguments]
        command = [sys.executable, "-m", module, *arguments]
        if clock is not None:
            program = f"{clock}\nimport runpy, sys\nsys.argv = {[module, *arguments]!r}"
            program += f"\nrunpy.run_module({module!r}, run_name='__main__')"
            command = [sys.executable, "-c", program]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def complete(self, clock: str | None = None) -> None:
        """Runs the command to its end.

        Raises:
            HarmError: if it fails.
        """
        process = self.start(clock)
        _, said = process.communicate()
        if process.returncode:
            raise HarmError(f"status {process.returncode}: {said.decode()[-500:]}")

    def clear(self) -> None:
        """Removes what the command wrote."""
        shutil.rmtree(self.out, ignore_errors=True)

    def check(self, *, whole: bool) -> None:
        """Holds the files against the true ones.

        Args:
            whole: whether all of them must be there.

        Raises:
            HarmError: if one is another, or is missing.
        """
        found, true = (_list_files(folder) for folder in (self.out, self.truth))
        wrong = [
            name
            for name in found & true
            if not filecmp.cmp(self.out / name, self.truth / name, shallow=False)
        ]
        if wrong:
            raise HarmError(f"not the true content: {', '.join(sorted(wrong)[:5])}")
        missing, foreign = sorted(true - found), sorted(found - true)
        if whole and (missing or foreign):
            raise HarmError(f"missing {missing[:5]}, not expected {foreign[:5]}")


def _list_files(folder: pathlib.Path) -> set[str]:
    """Returns the files below a folder, without those that are only for the moment.

    These stand in hidden files and folders, or in those that TFDS calls incomplete.
    """
    names = (
        str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()
    )
    return {
        name
        for name in names
        if not any(
            part.startswith(".") or "incomplete" in part
            for part in pathlib.PurePath(name).parts
        )
    }


def kill(case: Case, draw: random.Random) -> None:
    """Ends the command and all that it started; runs it again."""
    case.clear()
    process = case.start()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(draw.uniform(0.05, 0.95) * case.seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    case.check(whole=False)
    case.complete()
    case.check(whole=True)


def fill_disk(case: Case, draw: random.Random) -> None:
    """Gives the command too small a disk, and then room."""
    case.clear()
    size = int(draw.uniform(0, 0.9) * case.size)
    with mount_small_disk(case.out, f"size={max(size, 4096)}"):
        _expect_refusal(case, disk_full=True)
        case.check(whole=False)
        subprocess.run(["mount", "-o", "remount,size=1g", str(case.out)], check=True)
        case.complete()
        case.check(whole=True)


def forbid_writing(case: Case, draw: random.Random) -> None:
    """Gives the command a folder that it cannot write."""
    del draw
    case.clear()
    with mount_small_disk(case.out, "ro"):
        _expect_refusal(case)
    case.clear()
    case.complete()
    case.check(whole=True)


def move_clock(case: Case, draw: random.Random) -> None:
    """Runs the command at another time, which jumps meanwhile; then as it is."""
    case.clear()
    clock = CLOCK.format(
        shift=draw.choice((-YEAR, 0, YEAR)),
        jump=draw.choice((-YEAR, -3600, 3600, YEAR)),
        after=draw.uniform(0, case.seconds),
    )
    case.complete(clock)
    case.check(whole=True)


def _expect_refusal(case: Case, *, disk_full: bool = False) -> None:
    process = case.start()
    _, said = process.communicate()
    lines = said.decode().replace("\r", "\n").splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if any(line.startswith("Traceback") for line in lines):
        raise HarmError(f"a traceback: {lines[-1][:300]}")
    # A command whose last file fits after all is free to succeed.
    if process.returncode == 0 and disk_full:
        return
    if process.returncode != 1 or len(errors) != 1:
        text = said.decode()[-500:]
        raise HarmError(f"status {process.returncode}, expected one error: {text}")


DISTURBANCES: dict[str, Callable[[Case, random.Random], None]] = {
    "kill": kill,
    "full_disk": fill_disk,
    "read_only": forbid_writing,
    "clock": move_clock,
}


if __name__ == "__main__":
    with end_plainly():
        main()
