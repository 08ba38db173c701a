import pathlib

import fixture
import layers

TABLE = (pathlib.Path(__file__).parent / "layers.txt").read_text()
BASE_CMAKE = "layer(broker/base\n  SOURCES a.cc\n  HEADERS a.h)\n"


class Layers(fixture.LintTest):
    lint = layers
    base = {
        layers.TABLE: TABLE,
        "broker/base/CMakeLists.txt": BASE_CMAKE,
        "broker/base/a.h": "#pragma once\n#include <string>\n",
        "broker/base/a.cc": '#include "broker/base/a.h"\n',
    }

    def runtime(self, source, deps="broker/base", extra=None):
        return {"broker/runtime/CMakeLists.txt":
                f"layer(broker/runtime SOURCES r.cc DEPS {deps} LIBS Boost::context)\n",
                "broker/runtime/r.cc": source, **(extra or {})}

    def test_a_good_house_passes(self):
        self.assert_clean(self.runtime('#include "broker/base/a.h"\n'))

    def test_an_include_upwards_is_found(self):
        self.assert_finds({"broker/base/a.h": '\n#include "broker/runtime/clock.h"\n'},
                          "broker/base/a.h:2: broker/base must not include broker/runtime")

    def test_the_broker_never_includes_the_world(self):
        for room in ("sim", "fault", "scenarios"):
            found = "\n".join(self.findings({"broker/base/a.cc": f'#include "{room}/x.h"\n'}))
            self.assertIn(f"broker/base must not include {room}", found)

    def test_an_include_in_a_comment_is_none(self):
        self.assert_clean({"broker/base/a.h": '// #include "broker/runtime/clock.h"\n'})

    def test_dependencies_in_cmake_follow_the_table(self):
        self.assert_finds(
            {"broker/base/CMakeLists.txt": "layer(broker/base SOURCES a.cc DEPS broker/log)\n"},
            "broker/base/CMakeLists.txt:1: broker/base must not depend on broker/log")

    def test_what_is_included_is_in_deps(self):
        self.assert_finds(self.runtime('#include "broker/base/a.h"\n', deps=""),
                          "broker/runtime/r.cc:1: broker/base is included, but not in DEPS")

    def test_what_is_in_deps_is_included(self):
        self.assert_finds(self.runtime("int x;\n"), "names broker/base, but no file includes it")

    def test_an_unknown_room_is_found(self):
        self.assert_finds({"broker/cellar/CMakeLists.txt": "layer(broker/cellar SOURCES)\n"},
                          "broker/cellar is not a room")

    def test_a_layer_stands_in_its_own_folder(self):
        self.assert_finds({"broker/log/CMakeLists.txt": "layer(broker/record SOURCES)\n"},
                          "must stand in broker/record/CMakeLists.txt")

    def test_a_file_that_nothing_builds_is_found(self):
        self.assert_finds({"broker/base/lost.cc": ""}, "broker/base/lost.cc:1: no CMakeLists.txt")
        glob = "file(GLOB all CONFIGURE_DEPENDS *.cc)\nlayer(broker/base SOURCES ${all})\n"
        self.assert_clean({"broker/base/b.cc": "", "broker/base/CMakeLists.txt": glob})

    def test_includes_start_at_the_root(self):
        self.assert_finds({"broker/base/a.cc": '#include "a.h"\n#include "../x.h"\n'},
                          "start at the project's root", "start at the project's root")

    def test_stack_switching_has_one_file(self):
        boost = '#include <boost/context/fiber.hpp>\n'
        self.assert_finds(self.runtime('#include "broker/base/a.h"\n' + boost),
                          "r.cc:2: boost/context/ only in: broker/runtime/fiber_context.cc")
        cmake = "layer(broker/runtime SOURCES fiber_context.cc)\n"
        self.assert_clean({"broker/runtime/CMakeLists.txt": cmake,
                           "broker/runtime/fiber_context.cc": boost})

    def test_heavy_libraries_stay_where_they_belong(self):
        self.assert_finds({"broker/base/a.cc": "#include <spdlog/spdlog.h>\n"}, "spdlog/ only in:")
        self.assert_finds({"broker/base/a.cc": "#include <pybind11/pybind11.h>\n"},
                          "pybind11/ only in: bindings")

    def test_the_real_backend_is_only_for_few(self):
        include = '#include "broker/io/loop.h"\n'
        self.assert_finds({"tests/unit/broker_log/a.h": include}, "broker/io/ only in:")
        self.assert_clean({"tests/conformance/a.h": include, "cli/a.h": include})
        test = "verdict_test(unit_x SOURCES DEPS broker/io)\n"
        self.assert_finds({"tests/unit/x/CMakeLists.txt": test}, "broker/io/ only in:")

    def test_the_broker_does_not_know_where_it_runs(self):
        text = "// simulated\nint fake_clock;\nclass FakeDisk;\nint simple, similar;\n"
        self.assert_finds({"broker/base/a.h": text}, "a.h:1:", "a.h:2:", "a.h:3:")
        self.assert_clean({"sim/README.md": "a simulated world\n"})

    def test_a_table_that_cannot_be_read_is_found(self):
        self.assert_finds({layers.TABLE: TABLE + "rooom x: y\n"}, "cannot read: rooom x: y")
        self.assert_finds({layers.TABLE: TABLE + "room x: +attic\n"}, "attic, which is not a room")
