import shutil
import unittest

import fixture
import formatting


@unittest.skipIf(shutil.which(formatting.TOOL) is None, "clang-format is not installed")
class Formatting(fixture.LintTest):
    lint = formatting
    base = {".clang-format": "BasedOnStyle: Google\n"}

    def test_a_formatted_file_passes(self):
        self.assert_clean({"a.cc": "int f() { return 1; }\n", "notes.md": "int   f( );\n"})

    def test_a_file_is_named_once_at_its_first_place(self):
        self.assert_finds({"a.cc": "int x;\nint   y;\nint   z;\n"}, "a.cc:2: not formatted")
