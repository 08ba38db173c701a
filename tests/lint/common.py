"""What the lints share: the project's files, C++ text without comments, and problems.

A lint is a module with NAME, a one-line docstring and check(tree) -> list of Problem. run.py runs
them. A line that breaks a rule for a good reason says so on the line itself or on the one above it:

    double load = 0;  // lint: float ok: shown to a person, decides nothing
"""

import dataclasses
import pathlib
import re
import subprocess

CPP = (".cc", ".h")


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    path: str
    line: int
    message: str
    warning: bool = False

    def __str__(self):
        kind = "warning: " if self.warning else ""
        return f"{self.path}:{self.line}: {kind}{self.message}"


class Skipped(Exception):
    """A lint raises it when what it looks at is not there."""


class Tree:
    """The project's files: tracked ones, and untracked ones that git does not ignore."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self._texts = {}
        self._code = {}
        # A continuous integration may check out as one user and build as another.
        names = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
             "--exclude-standard"],
            cwd=self.root, check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
        self.files = sorted({name for name in names if name and (self.root / name).is_file()})

    def cpp(self, *folders):
        """C++ files, of the whole project or of some folders."""
        return [name for name in self.files if name.endswith(CPP) and in_folder(name, *folders)]

    def text(self, name):
        """The file's text, or "" if it is not text."""
        if name not in self._texts:
            data = (self.root / name).read_bytes()
            try:
                self._texts[name] = "" if b"\0" in data[:4096] else data.decode()
            except UnicodeDecodeError:
                self._texts[name] = ""
        return self._texts[name]

    def lines(self, name):
        return self.text(name).split("\n")

    def code(self, name):
        """A C++ file with comments and the insides of literals blanked; lines stay in place."""
        if name not in self._code:
            self._code[name] = blank(self.text(name))
        return self._code[name]

    def excused(self, name, line, rule):
        """Whether the line, or the one above it, carries `// lint: <rule> ok: <reason>`."""
        lines = self.lines(name)
        mark = re.compile(r"//\s*lint: " + re.escape(rule) + r" ok: \S")
        return any(0 <= at < len(lines) and mark.search(lines[at]) for at in (line - 1, line - 2))


def in_folder(name, *folders):
    """Whether a path lies in one of the folders, or is one of them. No folders: anywhere."""
    return not folders or any(name == f or name.startswith(f.rstrip("/") + "/") for f in folders)


TOKEN = re.compile(
    r"""(?P<keep>(?<=[0-9a-fA-F])'(?=[0-9a-fA-F]))  # 1'000'000
      | (?P<comment>//(?:[^\n\\]|\\.)*|/\*.*?\*/)
      | (?P<raw>R"(?P<mark>[^(\s"]{0,16})\(.*?\)(?P=mark)")
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')""", re.S | re.X)


def blank(text):
    def replace(match):
        if match.lastgroup == "keep" or match.group("keep"):
            return match.group()
        found = match.group()
        spaces = re.sub(r"[^\n]", " ", found)
        if match.group("comment") is not None:
            return spaces
        # An include's file name stays: the lints read it.
        before = text[text.rfind("\n", 0, match.start()) + 1:match.start()]
        if re.fullmatch(r"\s*#\s*include\s*", before):
            return found
        return found[0] + spaces[1:-1] + found[-1] if len(found) > 1 else found
    return TOKEN.sub(replace, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def closing(text, position):
    """The position of the bracket that closes the one at `position`, or -1."""
    pairs = {"(": ")", "{": "}", "[": "]"}
    opener, closer, depth = text[position], pairs[text[position]], 0
    for at in range(position, len(text)):
        if text[at] == opener:
            depth += 1
        elif text[at] == closer:
            depth -= 1
            if depth == 0:
                return at
    return -1


def cmake_calls(text, *functions):
    """Yields (line, function, tokens) of calls in a CMakeLists.txt, which nest no brackets."""
    text = re.sub(r"#[^\n]*", lambda match: " " * len(match.group()), text)
    for match in re.finditer(r"\b(" + "|".join(functions) + r")\s*\(([^)]*)\)", text):
        yield line_of(text, match.start()), match.group(1), match.group(2).split()


def cmake_arguments(tokens, *keywords):
    """Splits a call's tokens into {"": leading ones, keyword: what follows it}."""
    parts, key = {"": []}, ""
    for token in tokens:
        if token in keywords:
            key = token
            parts.setdefault(key, [])
        else:
            parts[key].append(token)
    return parts
