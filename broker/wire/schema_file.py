"""Reads schema files: Kafka's messages in our own notation (broker/wire/schema/README.md).

Errors are SchemaError with file and line. Nothing here knows about C++.
"""
import os
import re
from dataclasses import dataclass, field as dataclass_field

KINDS = ("request", "response", "header", "record", "data")
INTEGERS = {"int8": (1, True), "int16": (2, True), "int32": (4, True), "int64": (8, True),
            "uint16": (2, False), "uint32": (4, False)}
FIXED_BYTES = {"bool": 1, "float64": 8, "uuid": 16, **{k: v[0] for k, v in INTEGERS.items()}}
VARIABLE = ("string", "bytes", "records")
FIELD_OPTIONS = ("nullable", "tag", "tagged", "default", "entity", "flexible")
FIELD_FLAGS = ("ignorable", "key", "prose")
TAG_MAX = 63  # known tags travel as bits of a word


class SchemaError(Exception):
    def __init__(self, file, line, text):
        super().__init__(f"{file}:{line}: {text}")


@dataclass
class Struct:
    name: str
    line: int
    fields: list = dataclass_field(default_factory=list)
    versions: frozenset = frozenset()  # in which a value of it can occur
    used: bool = False


@dataclass
class Field:
    name: str
    line: int
    type: str            # without [] and ?
    is_array: bool
    versions: frozenset
    nullable: frozenset
    tag: int | None
    tagged: frozenset    # versions in which it is a tagged field
    default: str | None  # as written; None: zero, empty, or null where it may be null
    ignorable: bool      # may be left out in versions that lack it, whatever its value
    prose: bool          # text for people, cut when it does not fit
    is_map_key: bool
    entity: str | None
    never_flexible: bool
    struct: Struct | None = None


@dataclass
class Message:
    kind: str
    name: str
    file: str
    line: int
    key: int
    versions: frozenset
    flexible: frozenset
    body: Struct
    structs: list        # innermost first, without the body


class Parser:
    def __init__(self, path, text):
        self.path = os.path.basename(path) if path else "schema"
        self.lines = []  # (line number, depth, text)
        for number, line in enumerate(text.splitlines(), 1):
            line = re.sub(r"(^|\s)#.*$", "", line).rstrip()
            if not line:
                continue
            spaces = len(line) - len(line.lstrip(" "))
            if "\t" in line or spaces % 2:
                self.fail(number, "indent with two spaces a level")
            self.lines.append((number, spaces // 2, line.strip()))
        self.at = 0

    def fail(self, line, text):
        raise SchemaError(self.path, line, text)

    def parse(self):
        messages, names = [], set()
        while self.at < len(self.lines):
            message = self.message()
            if message.name in names:
                self.fail(message.line, f"{message.name} is there twice")
            names.add(message.name)
            messages.append(message)
        if not messages:
            self.fail(1, "no message in this file")
        return messages

    # --- versions ---------------------------------------------------------------------------------

    def versions(self, line, text, within=None):
        """'3-5', '3+', '3', 'none' or several with commas. Without `within` no '+' is possible."""
        result = set()
        if text == "none":
            return frozenset()
        for part in text.split(","):
            match = re.fullmatch(r"(\d+)(?:(\+)|-(\d+))?", part)
            if not match:
                self.fail(line, f"'{text}' is no range of versions (3-5, 3+, 3 or none)")
            low = int(match[1])
            if match[2]:
                if within is None:
                    self.fail(line, f"'{text}': this range must have an end")
                high = max(within)
            else:
                high = int(match[3] or low)
            if high < low or high > 32767:
                self.fail(line, f"'{part}' is an empty range here")
            result |= set(range(low, high + 1))
        if within is not None and not result <= within:
            wrong = min(result - within)
            self.fail(line, f"'{text}' has version {wrong}, in which this does not exist")
        return frozenset(result)

    # --- messages ---------------------------------------------------------------------------------

    def message(self):
        line, depth, text = self.lines[self.at]
        words = text.split()
        if depth != 0:
            self.fail(line, "a message must start at the beginning of the line")
        if words[0] not in KINDS:
            self.fail(line, f"'{words[0]}': a message starts with {', '.join(KINDS)}")
        if len(words) < 2 or not re.fullmatch(r"[A-Z][A-Za-z0-9]*", words[1]):
            self.fail(line, "a message needs a CamelCase name")
        options = self.options(line, words[2:], ("key", "versions", "flexible"), ())
        for needed in ("versions", "flexible"):
            if needed not in options:
                self.fail(line, f"{words[1]} lacks {needed}=")
        kind = words[0]
        if ("key" not in options) == (kind in ("request", "response")):
            if kind != "record":
                self.fail(line, f"a {kind} {'needs' if kind[0] == 'r' else 'has no'} key=")
        if kind == "record" and "key" not in options:
            self.fail(line, "a record needs key=")
        key = self.integer(line, "key", options.get("key", "-1"), -1, 32767)
        versions = self.versions(line, options["versions"])
        if versions != frozenset(range(min(versions), max(versions) + 1)):
            self.fail(line, "the versions of a message have no gaps")
        flexible = self.versions(line, options["flexible"], versions)
        if flexible and flexible != frozenset(range(min(flexible), max(versions) + 1)):
            self.fail(line, "once flexible, every later version is")
        body = Struct(words[1], line, versions=versions)
        self.current = Message(kind, words[1], self.path, line, key, versions, flexible, body, [])
        self.structs, self.common, self.open = {}, [], []
        self.at += 1
        self.common_structs()
        body.fields = self.fields(1, body)
        for struct in self.structs.values():
            if not struct.used:
                self.fail(struct.line, f"nothing uses struct {struct.name}")
        return self.current

    def options(self, line, words, named, flags):
        found = {}
        for word in words:
            name, equals, value = word.partition("=")
            if name in found:
                self.fail(line, f"{name} is there twice")
            if equals and name in named and value != "":
                found[name] = value
            elif not equals and name in flags:
                found[name] = True
            else:
                self.fail(line, f"'{word}' is not understood")
        return found

    def integer(self, line, what, text, low, high):
        try:
            value = int(text, 0)
        except ValueError:
            self.fail(line, f"{what}: '{text}' is no number")
        if not low <= value <= high:
            self.fail(line, f"{what}: {text} is not in {low} to {high}")
        return value

    def common_structs(self):
        """Structs that several fields share stand before the fields: `struct Name [versions]`."""
        heads = []
        while self.at < len(self.lines):
            line, depth, text = self.lines[self.at]
            if depth != 1 or not text.startswith("struct "):
                break
            words = text.split()
            if len(words) not in (2, 3):
                self.fail(line, "struct Name [versions]")
            versions = self.current.versions
            if len(words) == 3:
                versions = self.versions(line, words[2], versions)
            struct = self.new_struct(line, words[1], versions)
            self.at += 1
            self.common.append(struct)
            heads.append((struct, self.at))
            while self.at < len(self.lines) and self.lines[self.at][1] > 1:
                self.at += 1
        end = self.at
        for struct, start in heads:  # they may use each other, in any order
            self.define(struct, start)
        self.at = end

    def define(self, struct, start):
        if struct.fields:
            return
        if struct in self.open:
            self.fail(struct.line, f"struct {struct.name} contains itself")
        self.open.append(struct)
        self.at = start
        struct.fields = self.fields(2, struct)
        if not struct.fields:
            self.fail(struct.line, f"struct {struct.name} has no fields")
        self.open.pop()

    def new_struct(self, line, name, versions):
        if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
            self.fail(line, f"'{name}': a struct has a CamelCase name")
        if name in self.structs or name == self.current.name:
            self.fail(line, f"struct {name} is there twice")
        self.structs[name] = Struct(name, line, versions=versions)
        return self.structs[name]

    # --- fields -----------------------------------------------------------------------------------

    def fields(self, depth, owner):
        fields, names, tags = [], set(), set()
        while self.at < len(self.lines) and self.lines[self.at][1] >= depth:
            line, at_depth, text = self.lines[self.at]
            if at_depth > depth:
                self.fail(line, "indented, but the line above is no struct of its own")
            field = self.field(line, text, depth, owner)
            if field.name in names:
                self.fail(line, f"field {field.name} is there twice")
            if field.tag is not None and field.tag in tags:
                self.fail(line, f"tag {field.tag} is there twice")
            names.add(field.name)
            tags.add(field.tag)
            fields.append(field)
        return fields

    def field(self, line, text, depth, owner):
        match = re.fullmatch(r"([a-z][a-z0-9_]*): (\[\])?([A-Za-z0-9]+)(\?)?((?:\s+\S+)*)", text)
        if not match:
            self.fail(line, f"'{text}' is no field (name: type [versions] [options])")
        name, array, kind, question, rest = match.groups()
        words = rest.split()
        versions = owner.versions
        if words and (words[0][0].isdigit()):
            versions = self.versions(line, words[0], owner.versions)
            words = words[1:]
        options = self.options(line, words, FIELD_OPTIONS, FIELD_FLAGS)
        nullable = versions if question else frozenset()
        if "nullable" in options:
            if question:
                self.fail(line, "either ? or nullable=")
            nullable = self.versions(line, options["nullable"], versions)
        tag, tagged = None, frozenset()
        if "tag" in options:
            tag = self.integer(line, "tag", options["tag"], 0, TAG_MAX)
            tagged = versions
            if "tagged" in options:
                tagged = self.versions(line, options["tagged"], versions)
            if not tagged <= self.current.flexible:
                self.fail(line, f"{name} is tagged in version "
                          f"{min(tagged - self.current.flexible)}, which is not flexible")
        elif "tagged" in options:
            self.fail(line, "tagged= needs tag=")
        if options.get("flexible", "none") != "none":
            self.fail(line, "a field says flexible=none or nothing")
        field = Field(
            name=name, line=line, type=kind, is_array=array is not None, versions=versions,
            nullable=nullable, tag=tag, tagged=tagged, default=options.get("default"),
            ignorable="ignorable" in options, prose="prose" in options,
            is_map_key="key" in options, entity=options.get("entity"),
            never_flexible="flexible" in options)
        self.at += 1
        self.resolve(field, depth)
        self.check(field)
        return field

    def resolve(self, field, depth):
        """Finds or makes the struct of a field."""
        nested = self.at < len(self.lines) and self.lines[self.at][1] > depth
        if field.type[0].islower():
            if field.type not in FIXED_BYTES and field.type not in VARIABLE:
                self.fail(field.line, f"there is no type '{field.type}'")
            return
        if nested:
            struct = self.new_struct(field.line, field.type, field.versions)
            struct.fields = self.fields(depth + 1, struct)
            self.current.structs.append(struct)
        else:
            struct = self.structs.get(field.type)
            if struct is None:
                self.fail(field.line, f"there is no struct '{field.type}'")
            if not struct.fields:
                self.define_later(struct)
            if not field.versions <= struct.versions:
                self.fail(field.line, f"struct {struct.name} does not exist in version "
                          f"{min(field.versions - struct.versions)}")
            if struct not in self.current.structs:
                self.current.structs.append(struct)
        struct.used = True
        field.struct = struct

    def define_later(self, struct):
        """A common struct that stands further down, or the one that is just being read."""
        if struct not in self.common:
            self.fail(self.lines[self.at - 1][0], f"struct {struct.name} contains itself")
        back = self.at
        start = next((i for i, (line, _, _) in enumerate(self.lines) if line == struct.line))
        self.define(struct, start + 1)
        self.at = back

    def check(self, field):
        line, can_be_null = field.line, field.is_array or field.type in VARIABLE or field.struct
        if field.nullable and not can_be_null:
            self.fail(line, f"{field.type} cannot be null")
        if field.is_array and field.type in ("bool", "bytes", "records"):
            self.fail(line, f"an array of {field.type} is not supported")
        if field.prose and (field.type != "string" or field.is_array):
            self.fail(line, "only a string is prose")
        if field.never_flexible and (field.type != "string" or field.is_array):
            self.fail(line, "flexible=none is for strings")
        if field.tag is not None and field.nullable and field.default is None:
            self.fail(line, "a tagged field that may be null says its default")
        if field.default is not None:
            self.check_default(field)

    def check_default(self, field):
        line, text = field.line, field.default
        if text == "null":
            if not field.nullable:
                self.fail(line, f"{field.name} cannot be null, so null is no default")
        elif field.is_array:
            if text != "[]":
                self.fail(line, "the default of an array is [] or null")
        elif field.type in INTEGERS:
            size, signed = INTEGERS[field.type]
            low = -(1 << (8 * size - 1)) if signed else 0
            high = (1 << (8 * size - (1 if signed else 0))) - 1
            self.integer(line, "default", text, low, high)
        elif field.type == "bool":
            if text not in ("true", "false"):
                self.fail(line, "the default of a bool is true or false")
        elif field.type == "string":
            if not re.fullmatch(r"'[A-Za-z0-9_.-]*'", text):
                self.fail(line, "the default of a string stands in single quotes")
        else:
            self.fail(line, f"{field.type} has no default that can be written")


def parse_text(path, text):
    return Parser(path, text).parse()


def parse_file(path):
    with open(path, encoding="utf-8") as file:
        return parse_text(path, file.read())
