import pathlib
import subprocess
import unittest

import fixture
import symbols

ALLOW = (pathlib.Path(__file__).parent / "symbols_allow.txt").read_text()


class Symbols(fixture.LintTest):
    lint = symbols
    base = {symbols.ALLOW: ALLOW}

    def archives(self, sources):
        """A tree with one archive for each name in `sources`."""
        tree = self.tree({})
        folder = tree.root / symbols.ARCHIVES
        folder.mkdir(parents=True)
        for name, source in sources.items():
            file, member = tree.root / f"{name}.cc", tree.root / f"{name}.cc.o"
            file.write_text(source)
            subprocess.run(["g++-12", "-std=gnu++23", "-O1", "-c", file, "-o", member], check=True)
            subprocess.run(["ar", "rc", folder / f"libverdict_{name}.a", member], check=True)
        return tree

    def found(self, **sources):
        return [str(problem) for problem in symbols.check(self.archives(sources))]

    def test_containers_strings_and_errors_pass(self):
        self.assertEqual([], self.found(broker_log="""
            #include <map>
            #include <memory>
            #include <string>
            #include <vector>
            struct A { virtual ~A() = default; virtual std::string name() const = 0; };
            std::map<std::string, std::vector<int>> m;
            void add(const std::shared_ptr<A>& a) { m[a->name()].push_back(1); }
            """))

    def test_each_way_out_of_the_world_is_found(self):
        # One call per line: the first word is what the message must name.
        for call in ("clock_gettime|<time.h>|timespec t; clock_gettime(0, &t);",
                     "steady_clock|<chrono>|(void)std::chrono::steady_clock::now();",
                     "random_device|<random>|std::random_device d; (void)d();",
                     "rand|<cstdlib>|(void)rand();",
                     "getenv|<cstdlib>|(void)getenv(\"A\");",
                     "pthread_|<pthread.h>|pthread_rwlock_t l; pthread_rwlock_init(&l, nullptr);",
                     "std::thread|<thread>|std::thread t([]{}); t.detach();",
                     "socket|<sys/socket.h>|(void)socket(1, 1, 0);",
                     "open|<fcntl.h>|(void)open(\"a\", 0);",
                     "read|<unistd.h>|char c; (void)!read(0, &c, 1);",
                     "mkdir|<sys/stat.h>|(void)mkdir(\"a\", 0);",
                     "stat|<sys/stat.h>|struct stat s; (void)stat(\"a\", &s);",
                     "mmap|<sys/mman.h>|(void)mmap(nullptr, 1, 0, 0, 0, 0);",
                     "fopen|<cstdio>|(void)!fopen(\"a\", \"r\");",
                     "popen|<cstdio>|(void)popen(\"a\", \"r\");",
                     "syscall|<unistd.h>|(void)syscall(1);",
                     "puts|<cstdio>|puts(\"a\");",
                     "basic_ofstream|<fstream>|std::ofstream o(\"a\");",
                     "filesystem|<filesystem>|(void)std::filesystem::exists(\"a\");"):
            name, header, code = call.split("|")
            with self.subTest(name):
                found = self.found(broker_log=f"#include {header}\nvoid f() {{ {code} }}\n")
                self.assertTrue(any(name in line for line in found), found)
                self.assertIn("libverdict_broker_log.a(broker_log.cc.o)", found[0])

    def test_one_archive_may_call_another_but_not_the_real_backend(self):
        caller = "void real(); void f() { real(); }\n"
        self.assertEqual([], self.found(broker_log=caller, broker_base="void real() {}\n"))
        found = self.found(broker_log=caller, broker_io="void real() {}\n")
        self.assertIn("calls real()", found[0])

    def test_the_real_backend_and_the_host_half_may_do_anything(self):
        code = "#include <unistd.h>\nvoid f() { (void)fork(); }\n"
        self.assertEqual([], self.found(broker_base="", broker_io=code, scenarios_host=code))
        self.assertEqual(1, len(self.found(scenarios=code)))

    def test_a_section_is_for_its_archives_only(self):
        code = "#include <sys/mman.h>\nvoid f() { munmap(nullptr, 1); }\n"
        self.assertEqual([], self.found(broker_runtime=code))
        self.assertEqual(1, len(self.found(broker_log=code)))

    def test_no_exhibit_is_compiled_into_the_release_tree(self):
        found = self.found(broker_log="bool exhibit_kafka_1234_enabled() { return true; }\n")
        self.assertIn("an exhibit is compiled in: exhibit_kafka_1234_enabled()", found[0])

    def test_without_a_build_the_lint_is_skipped(self):
        with self.assertRaises(symbols.Skipped):
            symbols.check(self.tree({}))


if __name__ == "__main__":
    unittest.main()
