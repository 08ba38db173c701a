#include "broker/io/log_sink.h"

#include <gtest/gtest.h>

#include <vector>

namespace verdict::io {
namespace {

using runtime::Field;
using runtime::Severity;

TEST(LogSink, an_event_is_one_line_whatever_its_values_hold) {
  std::vector<Field> fields = {
      {"name", "orders"}, {"n", 3}, {"why", "no \"space\"\nleft"}, {"empty", ""}, {"bell", "\x07"}};
  EXPECT_EQ(format_event("topic created", fields),
            R"(topic created name=orders n=3 why="no \"space\"\nleft" empty="" bell="\x07")");
}

TEST(LogSink, events_from_the_level_upwards_reach_stderr) {
  testing::internal::CaptureStderr();
  {
    LogSink sink(Severity::info, true);
    EXPECT_FALSE(sink.wants(Severity::debug));
    EXPECT_TRUE(sink.wants(Severity::info));
    sink.log(Severity::debug, "too quiet", {});
    sink.info("started", {{"port", 9092}});
    sink.error("data directory offline", {{"path", "a b"}});
  }
  std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("Z info  started port=9092\n"), std::string::npos) << text;
  EXPECT_NE(text.find("Z error data directory offline path=\"a b\"\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("too quiet"), std::string::npos) << text;
}

TEST(LogSink, a_silent_sink_wants_nothing) {
  LogSink sink(Severity::debug, false);
  EXPECT_FALSE(sink.wants(Severity::error));
  sink.error("nobody hears this", {});
}

TEST(LogSink, probes_do_nothing) {
  static constexpr runtime::Probe kProbe{"test.probe"};
  LogSink sink(Severity::info, false);
  sink.reached(kProbe);
  EXPECT_FALSE(sink.provoke(kProbe));
}

}  // namespace
}  // namespace verdict::io
