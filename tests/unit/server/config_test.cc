#include "broker/server/config.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace verdict::server {
namespace {

ParsedConfig parsed(std::string_view text, const std::vector<std::string>& overrides = {}) {
  auto config = parse_config("server.properties", text, overrides);
  EXPECT_TRUE(config.has_value()) << config.error().detail;
  return config.value_or(ParsedConfig{});
}

std::string error_of(std::string_view text, const std::vector<std::string>& overrides = {}) {
  auto config = parse_config("server.properties", text, overrides);
  EXPECT_FALSE(config.has_value());
  return config ? "" : config.error().detail;
}

TEST(Config, an_empty_file_gives_kafkas_defaults) {
  const Config config = parsed("").config;
  EXPECT_EQ(config.node_id.value, 1);
  ASSERT_EQ(config.listeners.size(), 1U);
  EXPECT_EQ(config.listeners[0].bind, (runtime::Endpoint{"0.0.0.0", 9092}));
  EXPECT_EQ(config.partitions_standard, 1);
  EXPECT_EQ(config.request_bytes_max, 104'857'600);
  EXPECT_EQ(config.fetch_bytes_max, 57'671'680);
  EXPECT_EQ(config.connections_idle_max_ms, 600'000);
  EXPECT_TRUE(config.auto_create_topics);
  EXPECT_TRUE(config.given.empty());
}

TEST(Config, properties_are_read_as_java_reads_them) {
  const ParsedConfig all = parsed(
      "# a comment\n! another\n\n  node.id : 7\r\nnum.partitions\t=\t3\n"
      "advertised.listeners=PLAINTEXT://a.example:1,\\\n    OTHER://b:2\n"
      "listeners=PLAINTEXT://:1,OTHER://0.0.0.0:2\n"
      "listener.security.protocol.map PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT\n"
      "broker.rack=r\\u00e9\\=1\n");
  EXPECT_TRUE(all.warnings.empty());
  EXPECT_EQ(all.config.node_id.value, 7);
  EXPECT_EQ(all.config.partitions_standard, 3);
  ASSERT_EQ(all.config.listeners.size(), 2U);
  EXPECT_EQ(all.config.listeners[1].advertised, (runtime::Endpoint{"b", 2}));
  EXPECT_EQ(all.config.rack, "r\xc3\xa9=1");
  EXPECT_EQ(all.config.given.at("num.partitions"), "3");
}

TEST(Config, later_settings_win_and_the_command_line_wins_over_the_file) {
  EXPECT_EQ(parsed("num.partitions=2\nnum.partitions=4\n").config.partitions_standard, 4);
  EXPECT_EQ(parsed("num.partitions=2\n", {"num.partitions=9"}).config.partitions_standard, 9);
}

TEST(Config, an_unknown_name_warns_and_names_the_nearest_known_one) {
  const ParsedConfig all = parsed("node.id=1\nnum.partitons=3\n");
  ASSERT_EQ(all.warnings.size(), 1U);
  EXPECT_EQ(all.warnings[0],
            "server.properties:2:1: unknown setting num.partitons; did you mean num.partitions?");
  EXPECT_EQ(all.config.partitions_standard, 1);
  const ParsedConfig strange = parsed("", {"something.else.entirely=1"});
  ASSERT_EQ(strange.warnings.size(), 1U);
  EXPECT_EQ(strange.warnings[0].find("did you mean"), std::string::npos);
}

TEST(Config, a_bad_value_names_its_place_and_what_to_write) {
  EXPECT_EQ(error_of("node.id=1\n  num.partitions = many\n"),
            "server.properties:2:20: num.partitions: 'many' is not a whole number from 1 to "
            "2147483647");
  EXPECT_EQ(error_of("num.partitions=0\n"),
            "server.properties:1:16: num.partitions: '0' is not a whole number from 1 to "
            "2147483647");
  EXPECT_EQ(error_of("auto.create.topics.enable=yes\n"),
            "server.properties:1:27: auto.create.topics.enable: 'yes' is neither true nor false");
  EXPECT_EQ(error_of("compression.type=brotli\n"),
            "server.properties:1:18: compression.type: 'brotli' is not one of uncompressed, zstd, "
            "lz4, snappy, gzip, producer");
  EXPECT_EQ(error_of("", {"log.segment.bytes=5"}),
            "-o log.segment.bytes=5: log.segment.bytes: '5' is not a whole number from 1048576 to "
            "2147483647");
  EXPECT_EQ(error_of("", {"nonsense"}), "-o nonsense: not of the form key=value");
  EXPECT_EQ(error_of("\n\nnode.id\n"),
            "server.properties:3:1: node.id has no value; write "
            "node.id=value");
  EXPECT_EQ(error_of("=3\n"), "server.properties:1:1: a setting without a name; write name=value");
  EXPECT_EQ(error_of("broker.rack=\\u12g4\n"),
            "server.properties:1:13: \\u needs four hexadecimal digits, as in \\u00e9");
}

TEST(Config, listeners_are_judged_with_their_names) {
  EXPECT_NE(error_of("listeners=PLAINTEXT:9092\n").find("is not of the form NAME://host:port"),
            std::string::npos);
  EXPECT_NE(error_of("listeners=PLAINTEXT://:99999\n").find("NAME://host:port"), std::string::npos);
  EXPECT_NE(error_of("listeners=SSL://:9093\n").find("asks for SSL, which is not built yet"),
            std::string::npos);
  EXPECT_NE(error_of("listeners=INSIDE://:9093\n").find("listener.security.protocol.map"),
            std::string::npos);
  EXPECT_NE(error_of("advertised.listeners=OTHER://h:1\n").find("there is no listener OTHER"),
            std::string::npos);
  EXPECT_NE(error_of("advertised.listeners=PLAINTEXT://0.0.0.0:1\n").find("name the host"),
            std::string::npos);
  EXPECT_NE(error_of("listeners=PLAINTEXT://:1,PLAINTEXT://:2\n").find("there twice"),
            std::string::npos);
}

TEST(Config, the_controllers_listener_is_not_opened) {
  const Config config = parsed(
                            "process.roles=broker,controller\n"
                            "controller.listener.names=CONTROLLER\n"
                            "listeners=PLAINTEXT://[::1]:9092,CONTROLLER://:9093\n")
                            .config;
  ASSERT_EQ(config.listeners.size(), 1U);
  EXPECT_EQ(config.listeners[0].bind, (runtime::Endpoint{"::1", 9092}));
}

TEST(Config, what_is_not_built_is_refused_by_name) {
  EXPECT_NE(error_of("log.dirs=/a,/b\n").find("log.dirs: 2 directories; exactly one"),
            std::string::npos);
  EXPECT_NE(error_of("process.roles=controller\n").find("only a controller is not built yet"),
            std::string::npos);
  EXPECT_NE(error_of("log.dirs=/a\nmetadata.log.dir=/b\n").find("remove this setting"),
            std::string::npos);
}

TEST(Config, a_setting_without_effect_says_so) {
  const ParsedConfig all = parsed("num.io.threads=4\n");
  ASSERT_EQ(all.warnings.size(), 1U);
  EXPECT_NE(all.warnings[0].find("accepted and has no effect yet"), std::string::npos);
}

TEST(Config, the_table_of_settings_is_in_order_and_its_defaults_fit_their_rules) {
  EXPECT_TRUE(std::ranges::is_sorted(known_settings(), {}, &Setting::name));
  for (const Setting& setting : known_settings()) {
    EXPECT_EQ(find_setting(setting.name), &setting);
    EXPECT_EQ(nearest_setting(setting.name), setting.name);
    if (setting.standard.empty()) continue;
    const std::string line = std::string(setting.name) + "=" + std::string(setting.standard);
    if (setting.name == "broker.id") continue;
    auto config = parse_config("f", line, {});
    EXPECT_TRUE(config.has_value()) << line << ": " << config.error().detail;
  }
}

TEST(Config, any_text_is_read_or_refused_with_a_place) {
  // Every prefix and every single byte change of a file: never a crash, and an error has a place.
  const std::string text = "node.id=3\nlisteners=PLAINTEXT://h:1\\\n\nbroker.rack=\\u0041 b\n";
  for (size_t i = 0; i <= text.size(); ++i) {
    for (int byte : {-1, 0, int{'\\'}, int{'\n'}, int{'='}, int{':'}, int{'u'}, 0xff}) {
      std::string changed = text.substr(0, byte < 0 ? i : text.size());
      if (byte >= 0 && i < changed.size()) changed[i] = static_cast<char>(byte);
      auto config = parse_config("f", changed, {});
      if (!config) {
        EXPECT_FALSE(config.error().detail.empty());
      }
    }
  }
}

}  // namespace
}  // namespace verdict::server
