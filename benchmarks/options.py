"""The flags that the commands share which measure in turns."""

import argparse
from collections.abc import Collection

from spectjax.system.paths import read_path
from spectjax.system.workers import count_cores

MODES = ("train", "inference")


def create_parser(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser of the flags that all of them have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--mode", type=split_words, default=list(MODES), help="train, inference; both")
    add("--dtype", choices=("float32", "bfloat16"), default="float32")
    add("--seconds", type=float, default=10, help="for each row, at three turns; 10")
    add("--threads", type=int, default=count_cores(), help="cores for each; all")
    add("--output", help="Markdown file to add the table to")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Returns the arguments of the command line, `--output` as a path."""
    arguments = parser.parse_args()
    if arguments.output:
        arguments.output = read_path(arguments.output, "--output")
    return arguments


def check_words(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    **allowed: Collection[str],
) -> None:
    """Ends the command if a list of words has another one than `allowed` says."""
    for flag, known in allowed.items():
        for value in getattr(arguments, flag):
            if value not in known:
                parser.error(f"--{flag}: {value!r} is none of {', '.join(known)}")


def split_words(text: str) -> list[str]:
    """Returns what stands between commas."""
    return [word for word in text.split(",") if word]
