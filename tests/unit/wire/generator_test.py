#!/usr/bin/python3
"""The generator of broker/wire: what it refuses, and where it says the mistake is.

run: generator_test.py [unittest arguments]
"""
import contextlib
import io
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "broker", "wire"))
import generate  # noqa: E402
import schema_file  # noqa: E402

GOOD = """# A message with everything in it.
request EverythingRequest key=7 versions=2-9 flexible=5+
  struct Shared 3+
    id: int64 default=-1
    inner: Inner
  struct Inner 3+
    text: string
  flag: bool default=true
  size: int32 4+ default=0x10 ignorable entity=broker_id
  low: int64 default=-9223372036854775808
  gap: int16 2-3,6-7 ignorable
  name: string? 3+ nullable_below
"""


def broken(*lines, head="request BadRequest key=1 versions=0-4 flexible=2+"):
    return "\n".join([head, *lines]) + "\n"


class Mistakes(unittest.TestCase):
    """Each names the file, the line and what is wrong."""

    def refuses(self, text, line, what):
        with self.assertRaises(schema_file.SchemaError) as caught:
            schema_file.parse_text("folder/bad.schema", text)
        self.assertTrue(str(caught.exception).startswith(f"bad.schema:{line}: "), caught.exception)
        self.assertIn(what, str(caught.exception))

    def test_types_and_names(self):
        self.refuses(broken("  a: int33"), 2, "no type 'int33'")
        self.refuses(broken("  a: Missing"), 2, "no struct 'Missing'")
        self.refuses(broken("  a: int32", "  a: int32"), 3, "field a is there twice")
        self.refuses(broken("  Upper: int32"), 2, "no field")
        self.refuses(broken("  a int32"), 2, "no field")
        self.refuses(broken("  a: []bool"), 2, "array of bool")

    def test_versions(self):
        self.refuses(broken("  a: int32 5+"), 2, "empty range")
        self.refuses(broken("  a: int32 3-6"), 2, "has version 5")
        self.refuses(broken("  a: int32 3-2"), 2, "empty range")
        self.refuses(broken("  a: string 2+ nullable=1+"), 2, "has version 1")
        self.refuses(broken("  a: []A 2-3", "    b: int32 1-3"), 3, "has version 1")
        self.refuses(broken(head="request A key=1 versions=0+ flexible=none"), 1, "have an end")
        self.refuses(broken(head="request A key=1 versions=0-1,3 flexible=none"), 1, "no gaps")
        self.refuses(broken(head="request A key=1 versions=0-4 flexible=2-3"), 1, "every later")

    def test_heads(self):
        self.refuses("", 1, "no message")
        self.refuses("message A key=1 versions=0 flexible=none\n", 1, "'message'")
        self.refuses("request A versions=0 flexible=none\n", 1, "needs key=")
        self.refuses("data A key=1 versions=0 flexible=none\n", 1, "has no key=")
        self.refuses("request A key=1 flexible=none\n", 1, "lacks versions=")
        self.refuses("request A key=x versions=0 flexible=none\n", 1, "no number")
        self.refuses(broken(*broken().splitlines()), 2, "is there twice")

    def test_nullable_and_defaults(self):
        self.refuses(broken("  a: int32?"), 2, "int32 cannot be null")
        self.refuses(broken("  a: string default=null"), 2, "cannot be null")
        self.refuses(broken("  a: int8 default=128"), 2, "not in -128 to 127")
        self.refuses(broken("  a: uint16 default=-1"), 2, "not in 0 to 65535")
        self.refuses(broken("  a: bool default=1"), 2, "true or false")
        self.refuses(broken("  a: string default=x"), 2, "single quotes")
        self.refuses(broken("  a: []int32 default=0"), 2, "[] or null")
        self.refuses(broken("  a: uuid default=0"), 2, "no default")

    def test_tags(self):
        self.refuses(broken("  a: int32 tag=0"), 2, "version 0, which is not flexible")
        self.refuses(broken("  a: int8 2+ tag=0", "  b: int8 2+ tag=0"), 3, "tag 0 is there twice")
        self.refuses(broken("  a: int32 2+ tag=64"), 2, "not in 0 to 63")
        self.refuses(broken("  a: int32 tagged=2+"), 2, "needs tag=")
        self.refuses(broken("  a: string? 2+ tag=0"), 2, "says its default")

    def test_structs(self):
        self.refuses(broken("  struct A", "    b: int32"), 2, "nothing uses struct A")
        self.refuses(broken("  struct A", "    b: A", "  c: A"), 2, "contains itself")
        self.refuses(broken("  a: []A", "    b: []A"), 3, "contains itself")
        self.refuses(broken("  struct A 2+", "    b: int32", "  c: A"), 4, "in version 0")
        self.refuses(broken("  a: A", "    x: int32", "  b: A", "    x: int32"), 4, "there twice")
        self.refuses(broken("  a: BadRequest", "    x: int32"), 2, "is there twice")

    def test_layout(self):
        self.refuses(broken("   a: int32"), 2, "two spaces")
        self.refuses(broken("\ta: int32"), 2, "two spaces")
        self.refuses(broken("  a: int32", "    b: int32"), 3, "no struct of its own")
        self.refuses("  a: int32\n", 1, "beginning of the line")

    def test_options(self):
        self.refuses(broken("  a: int32 ignorabel"), 2, "'ignorabel' is not understood")
        self.refuses(broken("  a: int32 key=1"), 2, "'key=1' is not understood")
        self.refuses(broken("  a: int32 default="), 2, "not understood")
        self.refuses(broken("  a: int32 tag=1 tag=2"), 2, "tag is there twice")
        self.refuses(broken("  a: int32 prose"), 2, "only a string is prose")
        self.refuses(broken("  a: int32 flexible=none"), 2, "for strings")

    def test_comments_do_not_move_lines(self):
        self.refuses(broken("  # a comment", "", "  a: int33  # and one more"), 4, "int33")


class Running(unittest.TestCase):
    """The program itself, as the build runs it."""

    def run_on(self, text, *options):
        """(exit status, what it said, {file: text})"""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "some.schema")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            out, said = os.path.join(folder, "out"), io.StringIO()
            with contextlib.redirect_stderr(said):
                status = generate.main([path, out, *options])
            made = {}
            for name in os.listdir(out) if os.path.isdir(out) else []:
                with open(os.path.join(out, name), encoding="utf-8") as file:
                    made[name] = file.read()
        return status, said.getvalue(), made

    def test_a_broken_schema_fails_and_leaves_nothing(self):
        status, said, made = self.run_on(broken("  good: int32", "  a: int33"))
        self.assertEqual(status, 1)
        self.assertEqual(said, "some.schema:3: there is no type 'int33'\n")
        self.assertEqual(made, {})

    def test_the_example_is_made(self):
        good = GOOD.replace(" nullable_below", "") + (
            "  old: string 2-6 nullable=4-6 ignorable\n"
            "  shared: []Shared 3+\n"
            "  maybe: Maybe? 6+ tag=1 tagged=8+ default=null\n"
            "    namespace: []string\n")
        status, said, made = self.run_on(good)
        self.assertEqual((status, said), (0, ""))
        self.assertEqual(set(made), {"some.h", "some.cc"})
        for part in ("int64_t low = INT64_MIN;", "int32_t size = 16;", "bool flag = true;",
                     "std::optional<Maybe> maybe;", "std::vector<std::string> namespace_;",
                     "static constexpr int16_t kFlexibleFrom = 5;"):
            self.assertIn(part, made["some.h"])
        # Inner stands before Shared, which uses it.
        self.assertLess(made["some.h"].index("struct Inner"), made["some.h"].index("struct Shared"))
        self.assertIn("if (version <= 3 || (version >= 6 && version <= 7))", made["some.cc"])
        self.assertIn("tag.number == 1 && (version >= 8)", made["some.cc"])

    def test_the_same_schema_gives_the_same_text(self):
        text = broken("  a: int32")
        self.assertEqual(self.run_on(text), self.run_on(text))
        self.assertEqual(self.run_on(text, "--arbitrary")[2].keys(), {"some_arbitrary.cc"})


if __name__ == "__main__":
    unittest.main()
