#!/usr/bin/python3
"""Makes C++ from one schema file: generate.py NAME.schema FOLDER writes FOLDER/NAME.h and NAME.cc.

The notation is described in schema/README.md, the primitive types are in codec.h. With
--arbitrary, writes FOLDER/NAME_arbitrary.h and .cc instead: random values of every message, and a
table of the messages, for tests.
"""
import argparse
import os
import sys

sys.dont_write_bytecode = True  # the source folder stays clean
import schema_file  # noqa: E402

CPP_TYPES = {
    "bool": "bool", "float64": "double", "uuid": "base::Uuid", "string": "std::string",
    "bytes": "base::Slice", "records": "base::Slices",
    **{name: name + "_t" for name in schema_file.INTEGERS}}
KEYWORDS = set("""alignas and asm auto bool break case catch char class const continue default delete
do double else enum explicit export extern false float for friend goto if inline int long mutable
namespace new not nullptr operator or private protected public register return short signed sizeof
static struct switch template this throw true try typedef union unsigned using virtual void volatile
while encode decode""".split())
NO_FLEXIBLE = 32767


def cpp_name(name):
    return name + "_" if name in KEYWORDS else name


def condition(some, domain):
    """A C++ condition on `version`, which is in `domain`: '' always, None never."""
    some = some & domain
    if not some:
        return None
    if some == domain:
        return ""
    runs, terms = [], []
    for version in sorted(domain):  # versions outside the domain do not occur: runs may cross them
        if version not in some:
            runs.append(None)
        elif runs and runs[-1]:
            runs[-1][1] = version
        else:
            runs.append([version, version])
    for low, high in (run for run in runs if run):
        if low == min(domain):
            terms.append(f"version <= {high}")
        elif high == max(domain):
            terms.append(f"version >= {low}")
        elif low == high:
            terms.append(f"version == {low}")
        else:
            terms.append(f"(version >= {low} && version <= {high})")
    return " || ".join(terms)


def literal(field):
    """The default of a field that is not an optional, as C++; '' for the type's own."""
    text = field.default
    if field.is_array or field.struct or text in (None, "[]"):
        return "0" if field.type in CPP_TYPES and field.type in schema_file.INTEGERS \
            and not field.is_array else "false" if field.type == "bool" else \
            "0" if field.type == "float64" else ""
    if field.type == "string":
        return '"' + text[1:-1] + '"' if text != "''" else ""
    if field.type in schema_file.INTEGERS:
        value = int(text, 0)
        size, signed = schema_file.INTEGERS[field.type]
        if signed and value == -(1 << (8 * size - 1)):
            return f"INT{8 * size}_MIN"
        return str(value)
    return text


def plain_type(field):
    inner = field.struct.name if field.struct else CPP_TYPES[field.type]
    return f"std::vector<{inner}>" if field.is_array else inner


def cpp_type(field):
    return f"std::optional<{plain_type(field)}>" if field.nullable else plain_type(field)


def starts_null(field):
    return field.nullable and field.default in (None, "null")


def declaration(field):
    name, kind, value = cpp_name(field.name), cpp_type(field), literal(field)
    if field.nullable:
        if starts_null(field):
            return f"{kind} {name};"
        return f"{kind} {name}{{std::in_place{', ' + value if value else ''}}};"
    return f"{kind} {name} = {value};" if value else f"{kind} {name};"


def is_default(field, expression):
    """A C++ condition: the field has its default."""
    if starts_null(field):
        return f"!{expression}.has_value()"
    prefix = f"{expression}.has_value() && " if field.nullable else ""
    value = literal(field)
    inner = f"(*{expression})" if field.nullable else expression
    if field.is_array or field.type in ("bytes", "records") or field.type == "string" and not value:
        return f"{prefix}{inner}.empty()"
    if field.type == "uuid":
        return f"{prefix}{inner}.is_zero()"
    if field.struct:
        return f"{prefix}{inner} == {field.qualified}{{}}"
    if field.type == "bool":
        return f"{prefix}{'' if value == 'true' else '!'}{inner}"
    return f"{prefix}{inner} == {value}"


def bytes_min(struct, message, version):
    """Least number of bytes that a value of the struct can have."""
    total = 1 if version in message.flexible else 0
    for field in struct.fields:
        if version in field.versions and version not in field.tagged:
            total += field_bytes_min(field, message, version)
    return total


def field_bytes_min(field, message, version):
    compact = version in message.flexible and not field.never_flexible
    if field.is_array or field.type in ("bytes", "records"):
        return 1 if compact else 4
    if field.type == "string":
        return 1 if compact else 2
    if field.struct:
        return 1 if version in field.nullable else bytes_min(field.struct, message, version)
    return schema_file.FIXED_BYTES[field.type]


def element_bytes_min(field, message):
    def of(version):
        if field.struct:
            return bytes_min(field.struct, message, version)
        if field.type == "string":
            return 1 if version in message.flexible else 2
        return schema_file.FIXED_BYTES[field.type]
    return max(1, min(of(version) for version in field.versions))


class Code:
    """Lines of C++ with indentation."""

    def __init__(self):
        self.lines, self.depth = [], 0

    def add(self, *lines):
        for line in lines:
            self.lines.append("  " * self.depth + line if line else "")

    def open(self, line):
        self.add(line)
        self.depth += 1

    def close(self, line="}"):
        self.depth -= 1
        self.add(line)

    def text(self):
        return "\n".join(self.lines) + "\n"


class Block:
    """`if (condition) { ... }`, or just a scope that is not there when there is no condition."""

    def __init__(self, code, test):
        self.code, self.test = code, test

    def __enter__(self):
        if self.test:
            self.code.open(f"if ({self.test}) {{")

    def __exit__(self, *_):
        if self.test:
            self.code.close()


def qualify(message):
    """Gives every field the full C++ name of its struct and fills the domains of the structs."""
    for struct in message.structs:
        struct.full = f"{message.name}::{struct.name}"
        struct.versions = frozenset()
    message.body.full = message.name
    for struct in reversed(all_structs(message)):  # outermost first: users before what they use
        for field in struct.fields:
            field.versions &= struct.versions
            if field.struct:
                field.struct.versions |= field.versions
                field.qualified = field.struct.full


def all_structs(message):
    return message.structs + [message.body]


def lengths(field):
    return "Lengths::fixed" if field.never_flexible else "lengths"


def uses_lengths(struct):
    return any(field.versions and not field.never_flexible and (field.is_array or field.type in
               schema_file.VARIABLE) for field in struct.fields)


# --- header ---------------------------------------------------------------------------------------


def header(messages, name):
    code = Code()
    code.add("#pragma once", f"// Generated by broker/wire/generate.py from {name}.schema.", "",
             "#include <cstdint>", "#include <optional>", "#include <string>",
             "#include <string_view>", "#include <vector>", "",
             '#include "broker/base/result.h"', '#include "broker/base/slice.h"',
             '#include "broker/base/uuid.h"', '#include "broker/wire/codec.h"', "",
             "namespace verdict::wire {")
    for message in messages:
        declare_message(code, message)
    code.add("", "}  // namespace verdict::wire")
    return code.text()


def declare_members(code, struct, message):
    for field in struct.fields:
        code.add(declaration(field))
    if struct.versions & message.flexible:
        code.add("UnknownTags unknown_tags;")


def declare_message(code, message):
    first = min(message.flexible) if message.flexible else NO_FLEXIBLE
    code.add("")
    code.open(f"struct {message.name} {{")
    code.add(f'static constexpr std::string_view kName = "{message.name}";',
             f"static constexpr int16_t kApiKey = {message.key};",
             f"static constexpr int16_t kVersionMin = {min(message.versions)};",
             f"static constexpr int16_t kVersionMax = {max(message.versions)};",
             f"static constexpr int16_t kFlexibleFrom = {first};", "")
    for struct in message.structs:
        code.open(f"struct {struct.name} {{")
        declare_members(code, struct, message)
        code.add(f"bool operator==(const {struct.name}& other) const;")
        code.close("};")
    declare_members(code, message.body, message)
    code.add("",
             "// `at_version` is one of those above, and the fields that it lacks have their defaults",
             "// unless they may be ignored.",
             "void encode(Writer& out, int16_t at_version) const;",
             "base::Slices encode(int16_t at_version) const;",
             "// Reads one message and leaves what comes after it.",
             f"static void decode(Reader& in, int16_t at_version, {message.name}& out);",
             "// All of `bytes` is one message, or Errc::invalid; Errc::unsupported for a version",
             "// that is not one of those above.",
             f"static base::Result<{message.name}> decode(const base::Slices& bytes, "
             "int16_t at_version);",
             f"bool operator==(const {message.name}& other) const;")
    code.close("};")


# --- decoding -------------------------------------------------------------------------------------


def source(messages, name):
    code = Code()
    code.add(f"// Generated by broker/wire/generate.py from {name}.schema.",
             f'#include "broker/wire/{name}.h"', "", "namespace verdict::wire {", "namespace {")
    for message in messages:
        for struct in all_structs(message):
            define_read(code, struct, message)
            define_write(code, struct, message)
    code.add("", "}  // namespace")
    for message in messages:
        define_members(code, message)
    code.add("", "}  // namespace verdict::wire")
    return code.text()


def declare_lengths(code, struct, message):
    if not uses_lengths(struct):
        return
    test = condition(message.flexible, struct.versions)
    value = {"": "Lengths::compact", None: "Lengths::fixed"}.get(
        test, f"{test} ? Lengths::compact : Lengths::fixed")
    code.add(f"const Lengths lengths = {value};")


def path_of(field, struct, message):
    return field.name if struct is message.body else f"{struct.name}.{field.name}"


def define_read(code, struct, message):
    code.add("")
    code.open(f"void read([[maybe_unused]] Reader& in, [[maybe_unused]] int16_t version, "
              f"[[maybe_unused]] {struct.full}& out) {{")
    declare_lengths(code, struct, message)
    for field in struct.fields:
        plain = field.versions - field.tagged
        test = condition(plain, struct.versions)
        if test is not None:
            with Block(code, test):
                read_field(code, field, struct, message, plain, "in")
    test = condition(message.flexible, struct.versions)
    if test is not None:
        with Block(code, test):
            read_tags(code, struct, message)
    code.close()


def read_field(code, field, struct, message, domain, reader):
    """Reads a field in a version of `domain`."""
    target, path = f"out.{cpp_name(field.name)}", f'"{path_of(field, struct, message)}"'
    null_test = condition(field.nullable, domain)
    if not field.nullable or null_test == "":
        read_value(code, field, target, path, message, reader, field.nullable)
    elif null_test is None:
        read_value(code, field, f"{target}.emplace()", path, message, reader, False)
    else:
        code.open(f"if ({null_test}) {{")
        read_value(code, field, target, path, message, reader, True)
        code.close("} else {")
        code.depth += 1
        read_value(code, field, f"{target}.emplace()", path, message, reader, False)
        code.close()


def read_value(code, field, target, path, message, reader, nullable):
    if field.is_array:
        read_array(code, field, target, path, message, reader, nullable)
    elif field.struct and nullable:
        code.open(f"if ({reader}.present({path})) {{")
        code.add(f"read({reader}, version, {target}.emplace());")
        code.close("} else {")
        code.add(f"  {target}.reset();", "}")
    elif field.struct:
        code.add(f"read({reader}, version, {target});")
    elif field.type in schema_file.VARIABLE:
        method = {"string": "text"}.get(field.type, field.type)
        code.add(f"{reader}.{method}({lengths(field)}, {target}, {path});")
    else:
        code.add(f"{reader}.value({target}, {path});")


def read_array(code, field, target, path, message, reader, nullable):
    least = element_bytes_min(field, message)
    if nullable:
        code.open(f"if (auto count = {reader}.array_or_null(lengths, {least}, {path})) {{")
        code.add(f"auto& items = {target}.emplace();", "items.resize(*count);")
    else:
        code.open("{")
        code.add(f"auto& items = {target};",
                 f"items.resize({reader}.array(lengths, {least}, {path}));")
    if field.struct:
        code.open("for (auto& item : items) {")
        code.add(f"read({reader}, version, item);", f"if (!{reader}.ok()) return;")
        code.close()
    elif field.type == "string":
        code.open("for (auto& item : items) {")
        code.add(f"{reader}.text(lengths, item, {path});", f"if (!{reader}.ok()) return;")
        code.close()
    else:
        code.add(f"for (auto& item : items) {reader}.value(item, {path});")
    if nullable:
        code.close("} else {")
        code.add(f"  {target}.reset();", "}")
    else:
        code.close()


def tagged_fields(struct):
    fields = [field for field in struct.fields if field.tag is not None and
              field.tagged & struct.versions]
    return sorted(fields, key=lambda field: field.tag)


def tags_domain(struct, message):
    return struct.versions & message.flexible


def read_tags(code, struct, message):
    path = f'"{"" if struct is message.body else struct.name + "."}(tagged fields)"'
    fields = tagged_fields(struct)
    if not fields:
        code.add(f"in.unknown_tags(out.unknown_tags, {path});")
        return
    code.add("int64_t previous = -1;")
    code.open(f"for (uint32_t left = in.tag_count({path}); left > 0; --left) {{")
    code.add(f"const Reader::Tag tag = in.tag(previous, {path});", "if (!in.ok()) return;")
    word = "if"
    for field in fields:
        test = condition(field.tagged, tags_domain(struct, message))
        both = f"tag.number == {field.tag}" + (f" && ({test})" if test else "")
        code.open(f"{word} ({both}) {{")
        code.add("Reader part(tag.bytes);")
        body = Code()
        body.depth = code.depth
        read_field(body, field, struct, message, field.tagged, "part")
        for line in body.lines:  # a failure inside leaves the lambda-free way: by finish()
            if line.strip() == "if (!part.ok()) return;":
                line = line.replace("return", "break")
            code.lines.append(line)
        code.add(f'in.finish(part, "{path_of(field, struct, message)}");')
        code.depth -= 1
        word = "} else if"
    code.add("} else {", "  in.keep_tag(out.unknown_tags, tag);", "}")
    code.close()


# --- encoding -------------------------------------------------------------------------------------


def define_write(code, struct, message):
    code.add("")
    code.open(f"void write([[maybe_unused]] Writer& out, [[maybe_unused]] int16_t version, "
              f"[[maybe_unused]] const {struct.full}& in) {{")
    declare_lengths(code, struct, message)
    for field in struct.fields:
        plain = field.versions - field.tagged
        test = condition(plain, struct.versions)
        if test is not None:
            with Block(code, test):
                write_field(code, field, plain)
        absent = condition(struct.versions - field.versions, struct.versions)
        if absent is not None and not field.ignorable:
            with Block(code, absent):
                code.add(f"CHECK({is_default(field, 'in.' + cpp_name(field.name))});")
    test = condition(message.flexible, struct.versions)
    if test is not None:
        with Block(code, test):
            write_tags(code, struct, message)
    code.close()


def write_field(code, field, domain):
    """Writes a field in a version of `domain`."""
    value = f"in.{cpp_name(field.name)}"
    null_test = condition(field.nullable, domain)
    if not field.nullable:
        write_value(code, field, value)
        return
    if null_test != "":
        absent = condition(domain - field.nullable, domain)
        with Block(code, absent):
            code.add(f"CHECK({value}.has_value());  // null cannot be said in this version")
    if field.is_array or field.struct:
        code.open(f"if ({value}.has_value()) {{")
        if field.struct and not field.is_array and null_test is not None:
            with Block(code, null_test):
                code.add("out.present(true);")
        write_value(code, field, f"(*{value})")
        code.close("} else {")
        code.add(f"  out.{'null_array(lengths)' if field.is_array else 'present(false)'};", "}")
    else:
        write_value(code, field, value)


def write_value(code, field, value):
    if field.is_array:
        code.add(f"out.array(lengths, {value}.size());")
        item = {True: "write(out, version, item);"}.get(
            field.struct is not None,
            "out.text(lengths, item);" if field.type == "string" else "out.value(item);")
        code.add(f"for (const auto& item : {value}) {item}")
    elif field.struct:
        code.add(f"write(out, version, {value});")
    elif field.type == "string":
        code.add(f"out.{'prose' if field.prose else 'text'}({lengths(field)}, {value});")
    elif field.type in ("bytes", "records"):
        code.add(f"out.bytes({lengths(field)}, {value});")
    else:
        code.add(f"out.value({value});")


def write_tags(code, struct, message):
    fields, domain = tagged_fields(struct), tags_domain(struct, message)
    if not fields:
        code.add("out.unknown_tags(in.unknown_tags);")
        return
    known = []
    for field in fields:
        test = condition(field.tagged, domain)
        bit = f"uint64_t{{1}} << {field.tag}"
        known.append(f"({test} ? {bit} : 0)" if test else f"({bit})")
        value = is_default(field, "in." + cpp_name(field.name))
        code.add(f"const bool has_{field.tag} = " + (f"({test}) && " if test else "") +
                 f"!({value});")
    code.add(f"const uint64_t known = {' | '.join(known)};",
             "size_t count = Writer::unknown_count(in.unknown_tags, known);")
    for field in fields:
        code.add(f"count += has_{field.tag} ? 1 : 0;")
    code.add("out.uvarint(count);", "size_t next = 0;")
    for field in fields:
        code.open(f"if (has_{field.tag}) {{")
        code.add(f"next = out.unknown_tags(in.unknown_tags, known, next, {field.tag});",
                 f"const size_t mark = out.begin_tag({field.tag});")
        write_field(code, field, field.tagged)
        code.add("out.end_tag(mark);")
        code.close()
    code.add("out.unknown_tags(in.unknown_tags, known, next, UINT64_MAX);")


# --- the rest -------------------------------------------------------------------------------------


def define_members(code, message):
    name = message.name
    for struct in all_structs(message):
        terms = []
        for field in struct.fields:
            own = cpp_name(field.name)
            bytes_like = field.type in ("bytes", "records")
            terms.append(f"same_bytes({own}, other.{own})" if bytes_like else
                         f"{own} == other.{own}")
        if struct.versions & message.flexible:
            terms.append("unknown_tags == other.unknown_tags")
        code.add("")
        code.open(f"bool {struct.full}::operator==([[maybe_unused]] const {struct.name}& other) "
                  "const {")
        code.add("return " + " &&\n         ".join(terms or ["true"]) + ";")
        code.close()
    code.add("")
    code.open(f"void {name}::encode(Writer& out, int16_t at_version) const {{")
    code.add("CHECK(at_version >= kVersionMin);", "CHECK(at_version <= kVersionMax);",
             "write(out, at_version, *this);")
    code.close()
    code.add("")
    code.open(f"base::Slices {name}::encode(int16_t at_version) const {{")
    code.add("Writer out;", "encode(out, at_version);", "return std::move(out).finish();")
    code.close()
    code.add("")
    code.open(f"void {name}::decode(Reader& in, int16_t at_version, {name}& out) {{")
    code.add("if (at_version < kVersionMin || at_version > kVersionMax) {",
             '  in.fail("(version)", "no such version");', "  return;", "}",
             "read(in, at_version, out);")
    code.close()
    code.add("")
    code.open(f"base::Result<{name}> {name}::decode(const base::Slices& bytes, "
              "int16_t at_version) {")
    code.add("if (at_version < kVersionMin || at_version > kVersionMax) {",
             "  return base::fail(base::Errc::unsupported, std::string(kName) + \" v\" + "
             "std::to_string(at_version));", "}",
             f"base::Result<{name}> message;", "Reader in(bytes);",
             "read(in, at_version, *message);", "in.expect_end();",
             "if (!in.ok()) return std::unexpected(in.error(kName, at_version));",
             "return message;")
    code.close()


def write_if_new(path, text):
    """Leaves a file with the same text alone, so that nothing is compiled again."""
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return
    except FileNotFoundError:
        pass
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("schema")
    parser.add_argument("folder")
    parser.add_argument("--arbitrary", action="store_true")
    options = parser.parse_args(arguments)
    name = os.path.basename(options.schema).removesuffix(".schema")
    try:
        messages = schema_file.parse_file(options.schema)
    except schema_file.SchemaError as error:
        print(error, file=sys.stderr)
        return 1
    for message in messages:
        qualify(message)
    os.makedirs(options.folder, exist_ok=True)
    if options.arbitrary:
        import generate_arbitrary
        parts = generate_arbitrary.files(messages, name)
    else:
        parts = {f"{name}.h": header(messages, name), f"{name}.cc": source(messages, name)}
    for file, text in parts.items():
        write_if_new(os.path.join(options.folder, file), text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
