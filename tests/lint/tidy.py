"""Ceilings on files, functions and lines; banned identifiers, each with what to use instead."""

# To ban something, add a row to BANNED: the pattern is searched in code without comments and
# literals. ANYWHERE is searched in the whole text of every tracked file.

import collections
import dataclasses
import os
import re

import common
from common import Problem

NAME = "tidy"
EXCEPTIONS = "tests/lint/tidy_exceptions.txt"
FILE_LINES_MAX, FILE_LINES_WARN = 800, 500
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100
CHECKS_PER_1000_LINES = 10
CHECKS_PER_1000_LINES_CORE = 25  # where acknowledged data can be lost
CORE = ("broker/log", "broker/replica", "broker/quorum", "broker/txn")
SOURCE = (".cc", ".h", ".py", ".sh", ".cmake")
TRIALS = ("broker", "sim", "fault", "scenarios")  # what runs under virtual time
REAL = ("broker/io", "scenarios/host")  # what may touch the machine


@dataclasses.dataclass(frozen=True)
class Ban:
    rule: str  # the word in `// lint: <rule> ok: reason`
    pattern: str
    advice: str
    folders: tuple = ()  # () is everywhere
    but: tuple = ()


BANNED = (
    Ban("unordered", r"\bstd::unordered_\w+", "base::HashMap (no iteration) or an ordered map",
        TRIALS),
    Ban("random", r"\bstd::(random_device|mt19937\w*|shuffle|default_random_engine|"
        r"\w+_distribution)\b", "runtime::Random, whose choices are keyed", but=REAL),
    Ban("random", r"(?<![\w.>])s?rand\s*\(", "runtime::Random, whose choices are keyed"),
    Ban("random", r"\b__(FILE|LINE|COUNTER)__\b|\bsource_location\b",
        "a name: choices are never keyed by a place in the source", TRIALS, ("broker/base",)),
    Ban("thread", r"\bstd::(jthread|thread|this_thread|mutex|condition_variable|async)\b|"
        r"\bsleep_for\b", "fibers, runtime::Mutex, Tasks", but=REAL + ("cli", "tests", "bindings")),
    Ban("chrono", r"\bstd::chrono\b", "runtime::Clock and its Instant",
        but=REAL + ("cli", "tests", "bindings")),
    Ban("catch", r"\bcatch\s*\(\s*\.\.\.\s*\)", "a destructor: a kill must unwind the whole fiber",
        TRIALS, ("broker/runtime", "scenarios/host")),
    Ban("throw", r"\bthrow\b", "Result, or CHECK for a mistake of ours", ("broker",),
        ("broker/runtime",)),
    Ban("thread_local", r"\bthread_local\b", "the Node that is passed down", TRIALS,
        ("scenarios/host",)),
    Ban("assert", r"(?<![\w.])assert\s*\(", "CHECK, which is on in every build"),
    Ban("float", r"\b(float|double)\b", "integers: decisions must not depend on rounding",
        ("broker", "sim", "fault")),
)

# The patterns are put together from parts so that this file does not break its own rules.
ANYWHERE = (
    ("path", r"(?<![\w.$}~-])/wo" r"rk/|\.lib" r"rary\b|/tmp/bash" r"_jobs|\bfa" r"rm-",
     "a path or name of somebody's machine"),
    ("todo", r"\bFIX" r"ME\b|\bTO" r"DO\(now\)", "finish it, or say TO" "DO(soon|someday|perf)"),
)


class Exceptions:
    """tidy_exceptions.txt: ceilings raised for a file, which only ever come down."""

    def __init__(self, tree):
        self.limits, self.problems, self.worst = {}, [], collections.Counter()
        text = tree.text(EXCEPTIONS) if EXCEPTIONS in tree.files else ""
        for number, line in enumerate(text.split("\n"), 1):
            words = line.split("#")[0].split()
            if len(words) == 3 and words[2].isdigit():
                self.limits[words[0], words[1]] = (int(words[2]), number)
            elif words:
                self.problems.append(Problem(EXCEPTIONS, number, "cannot read this line"))

    def limit(self, rule, name, default, actual):
        self.worst[rule, name] = max(self.worst[rule, name], actual)
        return max(default, self.limits.get((rule, name), (0, 0))[0])

    def stale(self, defaults):
        for (rule, name), (limit, number) in self.limits.items():
            actual = self.worst[rule, name]
            if actual <= defaults.get(rule, 0):
                yield Problem(EXCEPTIONS, number, f"{rule} {name} is no longer needed")
            elif actual < limit:
                yield Problem(EXCEPTIONS, number, f"{rule} {name}: lower the limit to {actual}")


def without_directives(code):
    """Code with preprocessor lines blanked, so that braces and heads are those of C++."""
    return re.sub(r"^[ \t]*#(?:[^\n\\]|\\[^\n]|\\\n)*",
                  lambda match: re.sub(r"[^\n]", " ", match.group()), code, flags=re.M)


SCOPE = re.compile(r"(template\s*<.*>\s*)?(inline\s+)?(namespace|class|struct|union|enum)\b[^()]*"
                   r"(\([^()]*\)[^()]*)*$|extern\s*\"?\s*\"?$", re.S)
FUNCTION = re.compile(
    r"\)\s*((const|noexcept(\s*\([^()]*\))?|override|final|mutable|&&?|try|requires\b.*)\s*)*"
    r"(->[^;]*|:[^:].*)?$", re.S)


def brace_kind(head):
    """What the { after `head` opens at namespace or class scope: scope, function or initialiser."""
    if not head or SCOPE.match(re.sub(r"\[\[.*?\]\]|alignas\s*\([^()]*\)", "", head).strip()):
        return "scope"
    plain = re.sub(r"\{\}", "", head)
    if FUNCTION.search(plain) and not re.search(r"[=,(:]\s*$", plain):
        # In a constructor's list, `a_(a), b_` goes on with an initialiser, `a_(a)` with the body.
        unfinished = re.search(r"\)\s*(noexcept\s*)?:[^:]", plain) and re.search(r"\w$", head)
        return "initialiser" if unfinished else "function"
    return "initialiser"


def functions(code):
    """Yields (first line, last line, head) of every outermost function; lambdas are part of it."""
    code = without_directives(code)
    start = at = 0  # start of the head; a head is what stands before a {
    head_parts = []
    while True:
        match = re.compile(r"[;{}]").search(code, at)
        if not match:
            return
        at = match.end()
        if match.group() != "{":
            start, head_parts = at, []
            continue
        raw = "".join(head_parts) + code[start:match.start()]
        head = re.sub(r"^\s*((public|private|protected)\s*:\s*)+", "", raw).strip()
        kind = brace_kind(head)
        if kind == "scope":
            start, head_parts = at, []
            continue
        end = common.closing(code, match.start())
        if end < 0:
            return
        if kind == "function":
            first = common.line_of(code, match.start()) - head.count("\n")
            yield first, common.line_of(code, end), head
            start, head_parts = end + 1, []
        else:
            head_parts = [raw + "{}"]
            start = end + 1
        at = end + 1


def function_name(head):
    match = re.search(r"([~\w:]+|operator\s*\S+)\s*\(", head)
    return match.group(1) if match else "function"


def check_sizes(tree, exceptions):
    problems = []
    for name in tree.files:
        if not name.endswith(SOURCE) or re.search(r"(^|/)generated/", name):
            continue
        count = tree.text(name).count("\n")
        limit = exceptions.limit("file-length", name, FILE_LINES_MAX, count)
        if count > limit:
            problems.append(Problem(name, 1, f"{count} lines, at most {limit}: split the file"))
        elif count > FILE_LINES_WARN:
            problems.append(
                Problem(name, 1, f"{count} lines, better below {FILE_LINES_WARN}", True))
        if not name.endswith(common.CPP):
            continue
        for first, last, head in functions(tree.code(name)):
            length = last - first + 1
            limit = exceptions.limit("function-length", name, FUNCTION_LINES_MAX, length)
            if length > limit:
                problems.append(Problem(
                    name, first, f"{function_name(head)} has {length} lines, at most {limit}"))
    return problems


def check_lines(tree):
    problems = []
    for name in tree.files:
        source = name.endswith(SOURCE) or os.path.basename(name) in ("CMakeLists.txt", "dev")
        text = tree.text(name)
        if source:
            for number, line in enumerate(text.split("\n"), 1):
                if len(line) > COLUMNS_MAX:
                    problems.append(
                        Problem(name, number, f"{len(line)} columns, at most {COLUMNS_MAX}"))
                if "\t" in line:
                    problems.append(Problem(name, number, "a tab"))
        for rule, pattern, advice in ANYWHERE:
            for match in re.finditer(pattern, text):
                problems.append(Problem(
                    name, common.line_of(text, match.start()), f'"{match.group()}": {advice}'))
    return problems


def check_banned(tree):
    problems = []
    for name in tree.cpp():
        code = tree.code(name)
        for ban in BANNED:
            if not common.in_folder(name, *ban.folders):
                continue
            if ban.but and common.in_folder(name, *ban.but):
                continue
            for match in re.finditer(ban.pattern, code):
                line = common.line_of(code, match.start())
                if not tree.excused(name, line, ban.rule):
                    problems.append(
                        Problem(name, line, f"{match.group().strip()}: use {ban.advice}"))
    return problems


def check_density(tree):
    """CHECKs per 1,000 lines of each room: a report, until the rooms have settled."""
    lines, checks = collections.Counter(), collections.Counter()
    for name in tree.cpp("broker", "sim"):
        code = tree.code(name)
        room = "sim" if name.startswith("sim/") else "/".join(name.split("/")[:2])
        lines[room] += sum(1 for line in code.split("\n") if line.strip())
        checks[room] += len(re.findall(r"\b(CHECK|SUSPECT|static_assert)(_\w+)?\s*\(", code))
    for room in sorted(lines):
        floor = CHECKS_PER_1000_LINES_CORE if room in CORE else CHECKS_PER_1000_LINES
        density = 1000 * checks[room] / max(lines[room], 1)
        if density < floor and lines[room] >= 100:
            yield Problem(room, 1, f"{density:.0f} CHECKs per 1000 lines, want {floor}", True)


def check(tree):
    exceptions = Exceptions(tree)
    problems = check_sizes(tree, exceptions) + check_lines(tree) + check_banned(tree)
    problems += exceptions.problems
    problems += exceptions.stale(
        {"file-length": FILE_LINES_MAX, "function-length": FUNCTION_LINES_MAX})
    return problems + list(check_density(tree))
