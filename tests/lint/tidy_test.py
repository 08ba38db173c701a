import fixture
import tidy


def function(lines, head="int f(int a)"):
    """A function of so many lines, its head and closing brace included."""
    return head + " {\n" + "  g();\n" * (lines - 2) + "}\n"


class Sizes(fixture.LintTest):
    lint = tidy

    def test_files_have_a_ceiling(self):
        self.assert_clean({"a.h": "int x;\n" * 500})
        self.assert_finds({"a.h": "int x;\n" * 501}, "a.h:1: warning: 501 lines")
        self.assert_finds({"a.h": "int x;\n" * 801}, "a.h:1: 801 lines, at most 800")
        self.assert_clean({"data.txtpb": "x: 1\n" * 900})

    def test_functions_have_a_ceiling(self):
        self.assert_clean({"a.cc": function(70)})
        self.assert_finds({"a.cc": "\n" + function(71)}, "a.cc:2: f has 71 lines, at most 70")

    def test_every_shape_of_function_is_seen(self):
        for head in ("void A::f() const noexcept", "auto f() -> std::vector<int>",
                     "A::f(int a) : B(a), x_{a}, y_(2)", "template <class T>\nT f(T t)",
                     "TEST(A, f)", "bool operator()(int a) const", "Result<> f(O o = {})"):
            for before, after in (("", ""), ("namespace a {\n", "}\n"),
                                  ("class B : public C {\n public:\n", "};\n")):
                with self.subTest(head + before):
                    text = before + function(71, head) + after
                    found = self.findings({"a.cc": text})
                    self.assertEqual(len(found), 1, found)
                    self.assertIn("lines, at most 70", found[0])

    def test_long_classes_and_tables_are_no_functions(self):
        rows = "    {1, 2},\n" * 90
        methods = "  int g() { return 1; }\n" * 90
        self.assert_clean({"a.cc": f"namespace a {{\nconst T kTable[] = {{\n{rows}}};\n"
                                   f"class A {{\n{methods}}};\nenum class E {{\n  a,\n}};\n}}\n"})

    def test_exceptions_raise_a_ceiling_and_only_ever_come_down(self):
        long = {"a.cc": function(80)}
        self.assert_clean({**long, tidy.EXCEPTIONS: "function-length a.cc 80  # a state table\n"})
        self.assert_finds({**long, tidy.EXCEPTIONS: "function-length a.cc 90\n"},
                          "lower the limit to 80")
        self.assert_finds({"a.cc": "", tidy.EXCEPTIONS: "file-length a.cc 900\n"},
                          "no longer needed")
        self.assert_finds({tidy.EXCEPTIONS: "what is this\n"}, "cannot read")

    def test_lines_have_a_ceiling_and_no_tabs(self):
        self.assert_clean({"a.cc": "x" * 100 + "\n", "README.md": "x" * 200})
        self.assert_finds({"a.cc": "\n" + "x" * 101 + "\n\tint x;\n"},
                          "a.cc:2: 101 columns", "a.cc:3: a tab")


class Banned(fixture.LintTest):
    lint = tidy

    def banned(self, line, advice, where=("broker/log/a.cc",), but=()):
        for name in where:
            self.assert_finds({name: f"\n{line}\n"}, f"{name}:2: ")
            self.assertIn(advice, self.findings({name: f"\n{line}\n"})[0])
        for name in but:
            self.assert_clean({name: line + "\n"})
        self.assert_clean({where[0]: f"// {line}\n" + f'auto x = "{line}";\n'})

    def test_nothing_iterates_a_hash_table(self):
        self.banned("std::unordered_map<A, B> m;", "base::HashMap",
                    ("broker/log/a.cc", "sim/a.h", "fault/a.cc", "scenarios/a.cc"), ("cli/a.cc",))

    def test_randomness_is_keyed(self):
        for line in ("std::random_device d;", "std::mt19937_64 g;", "std::shuffle(a, b, g);",
                     "std::uniform_int_distribution<int> d;"):
            self.banned(line, "runtime::Random", ("broker/log/a.cc", "tests/unit/a.cc"),
                        ("broker/io/a.cc",))
        self.banned("int x = rand();", "runtime::Random")
        self.banned("hash(__FILE__);", "a name", but=("broker/base/check.h",))

    def test_time_and_threads_belong_to_the_seam(self):
        everywhere_real = ("broker/io/a.cc", "cli/a.cc", "scenarios/host/a.cc", "tests/unit/a.cc")
        self.banned("std::thread t;", "fibers", but=everywhere_real)
        self.banned("sleep_for(x);", "fibers", but=everywhere_real)
        self.banned("auto t = std::chrono::steady_clock::now();", "runtime::Clock",
                    ("sim/a.cc", "scenarios/a.cc"), everywhere_real)

    def test_a_kill_unwinds_through_everything(self):
        self.banned("try { } catch (...) { }", "a kill", but=("broker/runtime/a.cc", "cli/a.cc"))
        self.banned("void f() { throw 1; }", "Result", but=("broker/runtime/a.cc", "fault/a.cc"))

    def test_no_hidden_state_and_no_check_that_vanishes(self):
        self.banned("thread_local int x;", "Node", ("broker/log/a.cc", "sim/a.cc"))
        self.banned("assert(x);", "CHECK", ("broker/log/a.cc", "tests/unit/a.cc"))
        self.assert_clean({"broker/log/a.cc": "static_assert(x); my.assert(x);\n"})

    def test_floats_decide_nothing(self):
        self.banned("double x;", "integers", ("broker/log/a.cc", "sim/a.cc", "fault/a.h"),
                    ("reports/a.cc",))
        self.assert_clean({"fault/a.cc": "double x;  // lint: float ok: shown to a person\n"
                                         "// lint: float ok: the same\nfloat y;\n"})
        self.assert_finds({"fault/a.cc": "double x;  // lint: float ok:\n"}, "integers")

    def test_no_path_of_a_machine_and_nothing_unfinished(self):
        self.assert_finds({"docs/a.md": "\nsee /wo" "rk/main\n"}, "docs/a.md:2:")
        self.assert_finds({"a.sh": "cat .lib" "rary/x\n"}, "somebody's machine")
        self.assert_finds({"a.py": "# FIX" "ME\n"}, "finish it")
        self.assert_finds({"a.h": "// TO" "DO(now): x\n"}, "finish it")
        self.assert_clean({"a.md": "a frame" "work/x, the fa" "rmer, TO" "DO(soon): y\n"})


class Density(fixture.LintTest):
    lint = tidy

    def test_few_checks_are_reported_but_do_not_fail(self):
        self.assert_finds({"broker/log/a.cc": "g();\n" * 198 + "CHECK(a);\n" * 2},
                          "broker/log:1: warning: 10 CHECKs per 1000 lines, want 25")
        self.assert_clean({"broker/log/a.cc": "g();\n" * 195 + "CHECK_EQ(a, b);\n" * 5})
