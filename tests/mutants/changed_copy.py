"""A copy of the sources in which something was changed, and what is built of it."""

import os
import pathlib
import shutil
import subprocess


def copy_sources(folder):
    """The sources of this folder, without what was built or run in it."""
    copy = pathlib.Path(folder) / "verdict"
    shutil.copytree(".", copy, ignore=shutil.ignore_patterns("build", ".git", "runs"))
    return copy


def put(copy, name, anchor, text):
    """Puts `text` in the place of `anchor` in the file; returns what the file held before.
    ValueError when the anchor is not there just once."""
    file = copy / name
    source = file.read_text(encoding="utf-8")
    if source.count(anchor) != 1:
        raise ValueError(f"{name}: the place of the change is there {source.count(anchor)} times")
    file.write_text(source.replace(anchor, text), encoding="utf-8")
    return source


def build(copy, *arguments):
    """`./dev build` in the copy; the end of what the compiler said when it fails."""
    done = subprocess.run(["./dev", "build", *arguments], cwd=copy, capture_output=True, text=True,
                          check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[-2000:]
