import fixture
import try_lint

GOOD = """
#define TRY(x) __extension__({ auto r = (x); *r; })
// g(TRY(x)) in a comment, and "g(TRY(x))" in a string
Result<> f() {
  TRY(a());
  auto v = TRY(b(1, 2));
  const auto& [x, y] = TRY(pair());
  std::map<int, int> m = TRY(map());
  v = TRY(b({1, 2}));
  *p = TRY(b());
  self->left.right = TRY(b());
  (void)TRY(c());
  if (v) TRY(a());
  if (v) v = TRY(b());
  else TRY(a());
  for (int i = 0; i < 3; i++) TRY(a());
  switch (v) {
    case 1: TRY(a()); break;
    default: v = TRY(b());
  }
  auto l = [&]() -> Result<int> { TRY(a()); return 1; };
  TRY(
      a(b, c));
  return {};
}
"""

BAD = (
    "return TRY(f());",
    "g(TRY(f()));",
    "g(a, b = TRY(f()));",
    "T v{TRY(f())};",
    "T v{TRY(f()), 2};",
    "T v = {.a = TRY(f())};",
    "T v = {.a = TRY(f()), .b = 1};",
    "auto v = 1 + TRY(f());",
    "auto v = TRY(f()) + 1;",
    "auto v = TRY(f()).x;",
    "auto v = TRY(f())->x;",
    "auto v = c ? TRY(f()) : 0;",
    "auto v = c ? 0 : TRY(f());",
    "if (TRY(f())) g();",
    "if (auto v = TRY(f()); v) g();",
    "while (TRY(f())) g();",
    "for (auto& x : TRY(f())) g(x);",
    "v += TRY(f());",
    "if (v == TRY(f())) g();",
    "!TRY(f());",
    "a[TRY(f())] = 1;",
    "T v(TRY(f()));",
    "auto l = [x = TRY(f())] { return x; };",
    "TRY(f()), g();",
)


class Try(fixture.LintTest):
    lint = try_lint

    def test_whole_statements_and_whole_initialisers_pass(self):
        self.assert_clean({"broker/base/good.cc": GOOD})

    def test_every_other_place_is_found(self):
        for line in BAD:
            with self.subTest(line):
                self.assert_finds({"broker/base/bad.cc": f"void h() {{\n  g();\n  {line}\n}}\n"},
                                  "broker/base/bad.cc:3: TRY only as")
