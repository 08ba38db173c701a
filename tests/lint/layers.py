"""Includes, CMake and layers.txt agree on which room may use which."""

import os
import re

import common
from common import Problem

NAME = "layers"
TABLE = "tests/lint/layers.txt"
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
FORBIDDEN_WORDS = re.compile(r"sims?|faked?|fakes|simulat\w*", re.I)


class House:
    """layers.txt, parsed: for each room what it may use, and the `only` rules."""

    def __init__(self, text):
        self.may_use, self.only, self.problems = {}, [], []
        for number, line in enumerate(text.split("\n"), 1):
            match = re.fullmatch(r"(room|only)\s+(\S+):\s*(.*?)\s*", line.split("#")[0].rstrip())
            if match and match.group(1) == "only":
                self.only.append((match.group(2), match.group(3).split()))
            elif match:
                self._add_room(number, match.group(2), match.group(3).split())
            elif line.split("#")[0].strip():
                self.problems.append(Problem(TABLE, number, f"cannot read: {line.strip()}"))

    def _add_room(self, number, room, uses):
        allowed = set()
        for use in uses:
            known = use.lstrip("+")
            if use == "*":
                allowed.add("*")
            elif known not in self.may_use:
                self.problems.append(
                    Problem(TABLE, number, f"{room} uses {known}, which is not a room above it"))
            else:
                allowed.add(known)
                if use.startswith("+"):
                    allowed |= self.may_use[known]
        self.may_use[room] = allowed

    def room_of(self, path):
        """The innermost room that a path lies in, or None."""
        rooms = [room for room in self.may_use if common.in_folder(path, room)]
        return max(rooms, key=len, default=None)

    def allows(self, room, other):
        return room == other or "*" in self.may_use[room] or other in self.may_use[room]


def check_include(house, name, line, quoted, target):
    """Problems of one #include line."""
    problems = []
    room, other = house.room_of(name), house.room_of(target) if quoted else None
    if quoted and (other is None or ".." in target.split("/")):
        problems.append(Problem(
            name, line, f'"{target}": includes of ours start at the project\'s root with a room'))
    elif quoted and room is not None and not house.allows(room, other):
        problems.append(Problem(name, line, f"{room} must not include {other} ({TABLE})"))
    for prefix, places in house.only:
        if target.startswith(prefix) and not common.in_folder(name, *places):
            problems.append(Problem(name, line, f"{prefix} only in: {' '.join(places)}"))
    return problems


def included_rooms(tree, house):
    """{room: {room it includes: (file, line) of the first such include}}"""
    found = {}
    for name in tree.cpp():
        room = house.room_of(name)
        for match in INCLUDE.finditer(tree.code(name)):
            other = house.room_of(match.group(2)) if match.group(1) == '"' else None
            if room and other and other != room:
                where = (name, common.line_of(tree.code(name), match.start()))
                found.setdefault(room, {}).setdefault(other, where)
    return found


def check_layer_call(house, used, path, line, room, deps):
    """layer(room ... DEPS deps) against the table and against what the room's files include."""
    if room not in house.may_use:
        return [Problem(path, line, f"{room} is not a room of {TABLE}")]
    problems = []
    if os.path.dirname(path) != room:
        problems.append(Problem(path, line, f"layer({room}) must stand in {room}/CMakeLists.txt"))
    used_here = used.get(room, {})
    for dep in deps:
        if dep not in house.may_use or not house.allows(room, dep):
            problems.append(Problem(path, line, f"{room} must not depend on {dep} ({TABLE})"))
        elif dep not in used_here:
            problems.append(
                Problem(path, line, f"DEPS of {room} names {dep}, but no file includes it"))
    for other, (name, at) in sorted(used_here.items()):
        if other not in deps and house.allows(room, other):
            problems.append(Problem(name, at, f"{other} is included, but not in DEPS of {path}"))
    return problems


def check_cmake(tree, house):
    problems, used = [], included_rooms(tree, house)
    for path in tree.files:
        if os.path.basename(path) != "CMakeLists.txt":
            continue
        calls = common.cmake_calls(tree.text(path), "layer", "program", "verdict_test")
        for line, function, tokens in calls:
            parts = common.cmake_arguments(
                tokens, "SOURCES", "HEADERS", "DEPS", "LIBS", "ARGS", "TIMEOUT")
            deps = parts.get("DEPS", [])
            if function == "layer":
                room = parts[""][0] if parts[""] else ""
                problems += check_layer_call(house, used, path, line, room, deps)
            for prefix, places in house.only:
                if prefix.rstrip("/") in deps and not common.in_folder(path, *places):
                    problems.append(Problem(path, line, f"{prefix} only in: {' '.join(places)}"))
    return problems


def check_orphans(tree, house):
    """Every source file of a room is named in a CMakeLists.txt of its folder or of one above it."""
    problems = []
    for name in tree.cpp():
        if not name.endswith(".cc") or house.room_of(name) is None:
            continue
        folder, named = os.path.dirname(name), False
        while folder and not named:
            build_file = f"{folder}/CMakeLists.txt"
            text = tree.text(build_file) if build_file in tree.files else ""
            written = re.escape(os.path.relpath(name, folder))
            if "/" not in written:  # a file(GLOB ...) takes the files of its own folder
                written += r"|\*\.cc" + (r"|\*_test\.cc" if name.endswith("_test.cc") else "")
            named = re.search(rf"(?<![\w/.-])({written})(?![\w.])", text) is not None
            folder = os.path.dirname(folder)
        if not named:
            problems.append(
                Problem(name, 1, "no CMakeLists.txt names this file, so nothing builds it"))
    return problems


def forbidden_words(text):
    """Positions of words that would tell the broker where it runs; identifiers are taken apart."""
    for match in re.finditer(r"[A-Za-z]+", text):
        for part in re.finditer(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", match.group()):
            if FORBIDDEN_WORDS.fullmatch(part.group()):
                yield match.start() + part.start(), part.group()


def check_words(tree):
    problems = []
    for name in tree.files:
        if not common.in_folder(name, "broker"):
            continue
        for _, word in forbidden_words(name):
            problems.append(Problem(name, 1, f'"{word}": the broker cannot know where it runs'))
        text = tree.text(name)
        for position, word in forbidden_words(text):
            problems.append(Problem(name, common.line_of(text, position),
                                    f'"{word}": the broker cannot know where it runs'))
    return problems


def check(tree):
    house = House(tree.text(TABLE))
    problems = list(house.problems)
    for name in tree.cpp():
        code = tree.code(name)
        for match in INCLUDE.finditer(code):
            problems += check_include(house, name, common.line_of(code, match.start()),
                                      match.group(1) == '"', match.group(2))
    return problems + check_cmake(tree, house) + check_orphans(tree, house) + check_words(tree)
