import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import tally  # noqa: E402


def report(*results):
    cases = [{"name": f"case{at}", "status": "RUN", "result": result,
              **({"failures": [{}]} if result == "FAILED" else {})}
             for at, result in enumerate(results)]
    for case in cases:
        case["result"] = "SKIPPED" if case["result"] == "SKIPPED" else "COMPLETED"
    return json.dumps({"testsuites": [{"name": "Suite", "testsuite": cases}]})


class Tally(unittest.TestCase):
    """A test that failed, died or never ran must not be able to look like one that passed."""

    def tally(self, entries, reports):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            rows = "".join(f'<testcase name="{n}" status="{s}"/>' for n, s in entries.items())
            (folder / "ctest.xml").write_text(f"<testsuite>{rows}</testsuite>")
            for entry, text in reports.items():
                (folder / f"{entry}.json").write_text(text)
            return tally.tally(folder)

    def test_cases_are_counted_and_skipped_ones_are_neither(self):
        self.assertEqual((2, []), self.tally({"a": "run"}, {"a": report("OK", "SKIPPED", "OK")}))

    def test_a_failed_case_is_named(self):
        self.assertEqual((1, ["a: Suite.case1"]),
                         self.tally({"a": "fail"}, {"a": report("OK", "FAILED")}))

    def test_a_binary_that_died_counts_as_a_failure(self):
        self.assertEqual((0, ["a"]), self.tally({"a": "fail"}, {}))

    def test_a_binary_that_leaked_counts_as_a_failure(self):
        passed, failed = self.tally({"a": "fail"}, {"a": report("OK")})
        self.assertEqual((1, 1), (passed, len(failed)))

    def test_a_report_that_breaks_off_counts_as_a_failure(self):
        self.assertEqual((0, ["a"]), self.tally({"a": "fail"}, {"a": '{"testsuites": ['}))

    def test_no_test_at_all_is_a_failure(self):
        self.assertEqual(1, len(self.tally({}, {})[1]))
