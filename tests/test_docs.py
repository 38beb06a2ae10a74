"""Tests that the pages for users tell of what is there: links, files, names, commands.

They read and run nothing: the flags of a command are those that its file defines.
"""

import importlib
import inspect
import pathlib
import re

import pytest

from spectjax.system import commands

ROOT = pathlib.Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "tfds_spect/README.md") + tuple(
    sorted(page.relative_to(ROOT).as_posix() for page in ROOT.glob("docs/*.md"))
)
PACKAGES = "spectjax|tfds_spect|benchmarks"
FOLDERS = f"scripts|configs|tests|docs|{PACKAGES}"
pytestmark = pytest.mark.parametrize("page", PAGES)


def test_links_lead_somewhere(page):
    def leads_nowhere(link):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        return not target.exists() or (anchor and anchor not in find_anchors(target))

    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text())
    assert [link for link in links if "://" not in link and leads_nowhere(link)] == []


def find_anchors(page):
    """The names that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_files_exist(page):
    text = (ROOT / page).read_text()
    words = set(re.findall(rf"(?<![\w/.-])((?:{FOLDERS})/[\w./*-]*\w)", text))
    # As `tfds_spect/segmentation_quick_phantom`, the name of a data set.
    words = [word for word in words if not re.fullmatch(r"tfds_spect/\w+", word)]
    words += (f"tests/**/{name}" for name in re.findall(r"`(test_\w+\.py)", text))
    assert [word for word in words if not any(ROOT.glob(word))] == []


def test_names_exist(page):
    text = (ROOT / page).read_text()
    names = set(re.findall(rf"(?<![\w/.-])((?:{PACKAGES})(?:\.\w+)+)", text))
    assert [name for name in sorted(names) if not exists(name)] == []


def exists(name):
    """Whether a dotted name is a module, or something in one."""
    module, _, attribute = name.rpartition(".")
    if find_source(name):
        return True
    return bool(find_source(module)) and hasattr(
        importlib.import_module(module), attribute
    )


def find_source(module):
    """The file of one of our modules, or None."""
    path = ROOT.joinpath(*module.split("."))
    return find_first(path.with_suffix(".py"), path / "__init__.py")


def find_first(*files):
    """The first of them that exists, or None."""
    return next((file for file in files if file.exists()), None)


def test_commands_exist_and_have_the_flags_beside_them(page):
    text = (ROOT / page).read_text()
    # A line goes on after a backslash. What stands in quotes is for another program.
    text = re.sub(r"='[^']*'", "=", text.replace("\\\n", " "))
    written = re.findall(
        rf"(?:python -m ((?:{PACKAGES})\b[\w.]*)|(scripts/\w+\.py))([^`\n#]*)", text
    )
    wrong = []
    for module, script, rest in written:
        source = find_command(module) if module else ROOT / script
        if source is None:
            wrong.append(f"python -m {module}")
            continue
        flags = set(re.findall(r"(?<=[ \[])--(\w+)", rest)) - {"help"}
        wrong += [f"{source.name} --{flag}" for flag in flags - find_flags(source)]
    assert wrong == []


def find_command(module):
    """The file that `python -m` runs, or None."""
    path = ROOT.joinpath(*module.split("."))
    return find_first(path.with_suffix(".py"), path / "__main__.py")


def find_flags(source):
    """The flags that the file of a command defines."""
    text = source.read_text()
    if "options.create_parser" in text:
        text += (ROOT / "benchmarks/options.py").read_text()
    for name in (
        "define_crops",
        "define_data_dirs",
        "define_html",
        "define_stated",
        "define_view",
    ):  # what several commands share
        if f"{name}(" in text:
            text += inspect.getsource(getattr(commands, name))
    calls = r"\b(?:DEFINE\w*|define_paths?|add(?:_argument)?)\(\s*\"(?:--)?(\w+)\""
    return set(re.findall(calls, text)) | set(re.findall(r"define_(config)\(\)", text))
