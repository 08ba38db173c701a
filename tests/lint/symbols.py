"""The archives that run in trials call nothing that could make two runs differ."""

# Every undefined symbol of these archives must be defined in one of them or match a pattern of
# symbols_allow.txt. An allow-list, because a list of what is forbidden is never complete.

import collections
import pathlib
import re
import subprocess

from common import Problem, Skipped

NAME = "symbols"
ALLOW = "tests/lint/symbols_allow.txt"
ARCHIVES = "build/release/lib"
CHECKED = re.compile(r"libverdict_(broker_(?!io\b).*|sim|fault|scenarios)\.a")
FORBIDDEN_IN_RELEASE = re.compile(r"exhibit.*enabled", re.I)
MEMBER = re.compile(r"^(?P<path>.*?):(?P<member>[^:]*): *[0-9a-f]* *(?P<kind>\S) (?P<symbol>.+)$")

# What a reader of the message should do instead, by what the symbol looks like.
ADVICE = (
    (r"clock|time|chrono|nanosleep|sleep", "time comes from runtime::Clock"),
    (r"rand|getentropy|RAND_", "randomness comes from runtime::Random"),
    (r"pthread|thread|mutex|condition_variable|futex", "concurrency is fibers and Tasks::post"),
    (r"socket|connect|accept|send|recv|epoll|poll|getaddrinfo", "the network is runtime::Network"),
    (r"open|read|write|stat|mkdir|unlink|rename|sync|truncate|mmap|filesystem|fstream|filebuf",
     "files are runtime::Directory and File"),
    (r"getenv|environ", "configuration is passed in"),
    (r"printf|puts|cout|cerr|ostream", "output goes through runtime::Observer"),
)


class AllowList:
    """symbols_allow.txt: patterns for all archives, or below [a section] for those it names."""

    def __init__(self, text):
        self.sections, self.problems = collections.defaultdict(list), []
        names = ("*",)
        for number, line in enumerate(text.split("\n"), 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("[") and line.endswith("]") and re.fullmatch(r"\[[\w* ]+\]", line):
                names = tuple(line[1:-1].split())
                continue
            try:
                re.compile(line)
            except re.error as error:
                self.problems.append(Problem(ALLOW, number, f"not a regular expression: {error}"))
                continue
            for name in names:
                self.sections[name].append(line)
        self._compiled = {}

    def allows(self, archive, symbol):
        """`archive` is the room's name, broker_base for libverdict_broker_base.a."""
        if archive not in self._compiled:
            patterns = self.sections["*"] + self.sections[archive]
            self._compiled[archive] = re.compile("|".join(f"(?:{p})" for p in patterns) or "(?!)")
        return self._compiled[archive].fullmatch(symbol) is not None


def symbols_of(archives):
    """Returns ({defined symbol}, {(archive, symbol): member}) over the archives, mangled."""
    output = subprocess.run(["nm", "-A", *archives], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, check=True, text=True).stdout
    defined, undefined = set(), {}
    for line in output.split("\n"):
        match = MEMBER.match(line)
        if not match:
            continue
        if match.group("kind") in "Uvw":
            archive = pathlib.Path(match.group("path")).name
            undefined.setdefault((archive, match.group("symbol")), match.group("member"))
        if match.group("kind") in "TDBRWVuCGS":
            defined.add(match.group("symbol"))
    return defined, undefined


def demangle(symbols):
    symbols = sorted(set(symbols))
    output = subprocess.run(["c++filt"], input="\n".join(symbols), stdout=subprocess.PIPE,
                            check=True, text=True).stdout.split("\n")
    return dict(zip(symbols, output))


def advice(symbol):
    for pattern, text in ADVICE:
        if re.search(pattern, symbol):
            return f"; {text}"
    return ""


def check(tree):
    archives = sorted(str(path) for path in (tree.root / ARCHIVES).glob("libverdict_*.a")
                      if CHECKED.fullmatch(path.name))
    if not archives:
        raise Skipped("no release build (./dev build release)")
    allow = AllowList(tree.text(ALLOW))
    defined, undefined = symbols_of(archives)
    names = demangle([s for _, s in undefined] + list(defined))
    problems = list(allow.problems)
    for (archive, symbol), member in sorted(undefined.items()):
        room = archive[len("libverdict_"):-len(".a")]
        if symbol not in defined and not allow.allows(room, names[symbol]):
            problems.append(Problem(
                f"{archive}({member})", 0,
                f"calls {names[symbol]}, which is not in {ALLOW}{advice(names[symbol])}"))
    for symbol in sorted(defined):
        if FORBIDDEN_IN_RELEASE.search(names[symbol]):
            problems.append(Problem(ARCHIVES, 0, f"an exhibit is compiled in: {names[symbol]}"))
    return problems
