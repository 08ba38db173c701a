"""What the red tests share: a small project in a temporary folder, and what a lint finds in it."""

import pathlib
import subprocess
import tempfile
import unittest

import common


class LintTest(unittest.TestCase):
    """Subclasses set `lint`. `base` holds files that every tree of theirs has."""

    lint = None
    base = {}

    def tree(self, files):
        folder = tempfile.TemporaryDirectory(prefix="verdict-lint-")
        self.addCleanup(folder.cleanup)
        root = pathlib.Path(folder.name)
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        for name, text in {**self.base, **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return common.Tree(root)

    def findings(self, files):
        return [str(problem) for problem in sorted(set(self.lint.check(self.tree(files))))]

    def assert_clean(self, files):
        self.assertEqual(self.findings(files), [])

    def assert_finds(self, files, *expected):
        """Exactly one finding for each expected text, in the order of files and lines."""
        found = self.findings(files)
        self.assertEqual(len(found), len(expected), found)
        for text, finding in zip(expected, found):
            self.assertIn(text, finding)
