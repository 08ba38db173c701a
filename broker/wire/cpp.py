"""C++ names, types, defaults and conditions for what schema_file.py reads."""
import schema_file

CPP_TYPES = {
    "bool": "bool", "float64": "double", "uuid": "base::Uuid", "string": "std::string",
    "bytes": "base::Slice", "records": "base::Slices",
    **{name: name + "_t" for name in schema_file.INTEGERS}}
KEYWORDS = set("""
alignas and asm auto bool break case catch char class const continue default delete do double
else enum explicit export extern false float for friend goto if inline int long mutable
namespace new not nullptr operator or private protected public register return short signed
sizeof static struct switch template this throw true try typedef union unsigned using virtual
void volatile while encode decode
""".split())
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
    text = None if field.default == "null" else field.default
    if field.is_array or field.struct:
        return ""
    if field.type in schema_file.INTEGERS:
        value = int(text or "0", 0)
        size, signed = schema_file.INTEGERS[field.type]
        if signed and value == -(1 << (8 * size - 1)):
            return f"INT{8 * size}_MIN"
        return str(value)
    if field.type == "string":
        return f'"{text[1:-1]}"' if text not in (None, "''") else ""
    return {"bool": text or "false", "float64": "0"}.get(field.type, "")


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
