"""TRY(x) stands only as a whole statement or as a whole initialiser."""

# g++ 12 leaks what the unfinished part of an expression has built when a statement expression in
# the middle of it returns. So TRY may be one of
#   TRY(f());    auto v = TRY(f());    v = TRY(f());    (void)TRY(f());
# and never an argument, an element of a braced list, an operand or what return returns.

import re

import common
from common import Problem

NAME = "try"
USE = re.compile(r"\bTRY\s*\(")
ADVICE = "TRY only as a whole statement or a whole initialiser (auto v = TRY(...);)"


def matching_open(code, position):
    """The position of the ( that the ) at `position` closes, or -1."""
    depth = 0
    for at in range(position, -1, -1):
        if code[at] == ")":
            depth += 1
        elif code[at] == "(":
            depth -= 1
            if depth == 0:
                return at
    return -1


def statement_head(code, position):
    """The text between the start of the statement and `position`."""
    start = max(code.rfind(mark, 0, position) for mark in ";{}")
    return code[start + 1:position].strip()


def starts_statement(code, position):
    """Whether a statement may begin at `position`."""
    before = code[:position].rstrip()
    if not before or before[-1] in ";{}":
        return True
    if re.search(r"\b(else|do)$", before):
        return True
    if before[-1] == ":":
        label = r"(case\b[^?]*|default|\w+)\s*:"
        return re.fullmatch(label, statement_head(code, position)) is not None
    if before[-1] == ")":
        opened = matching_open(before, len(before) - 1)
        if before[opened:].replace(" ", "") == "(void)":
            return starts_statement(code, opened)
        return re.search(r"\b(if|if constexpr|for|while)\s*$", before[:max(opened, 0)]) is not None
    return False


def is_initialised(code, position):
    """Whether what precedes `position` is `<declaration or place> =`, whole."""
    before = code[:position].rstrip()
    if not re.search(r"(?<![=!<>+\-*/%&|^])=$", before):
        return False
    head = statement_head(code, len(before) - 1)
    if re.match(r"(else|do)\b", head):
        head = head.split(None, 1)[1] if " " in head else ""
    return (re.match(r"(return|co_return|co_yield|throw|case|using)\b", head) is None
            and head.count("(") == head.count(")") and "?" not in head and head != "")


def check(tree):
    problems = []
    for name in tree.cpp():
        code = re.sub(r"^[ \t]*#(?:[^\n\\]|\\.)*", lambda m: re.sub(r"[^\n]", " ", m.group()),
                      tree.code(name), flags=re.M | re.S)
        for match in USE.finditer(code):
            end = common.closing(code, match.end() - 1)
            whole = end >= 0 and code[end + 1:].lstrip().startswith(";")
            if not (whole and (starts_statement(code, match.start())
                               or is_initialised(code, match.start()))):
                problems.append(Problem(name, common.line_of(code, match.start()), ADVICE))
    return problems
