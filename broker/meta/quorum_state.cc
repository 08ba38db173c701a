// The quorum-state file: one small JSON object of fixed shape.

#include <charconv>
#include <optional>

#include "broker/meta/metadata_log.h"

namespace verdict::meta {
namespace {

inline constexpr int kDepthMax = 8;

// Reads JSON from left to right. After the first failure everything fails.
class JsonCursor {
 public:
  explicit JsonCursor(std::string_view text) : rest_(text) {}
  bool ok() const { return ok_; }
  bool at_end() {
    skip_space();
    return rest_.empty();
  }
  // Whether the next character is `c`; takes it then.
  bool take(char c) {
    skip_space();
    if (!ok_ || !rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) ok_ = false;
  }
  // Without escapes: none of the names and ids in this file needs one.
  std::string_view text() {
    expect('"');
    const size_t end = rest_.find('"');
    if (!ok_ || end == std::string_view::npos) {
      ok_ = false;
      return {};
    }
    const std::string_view value = rest_.substr(0, end);
    if (value.find('\\') != std::string_view::npos) ok_ = false;
    rest_.remove_prefix(end + 1);
    return value;
  }
  int64_t integer() {
    skip_space();
    int64_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc{}) {
      ok_ = false;
      return 0;
    }
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }
  // Calls `each` at every element of an array.
  template <class Each>
  void array(Each each) {
    expect('[');
    if (take(']')) return;
    while (ok_) {
      each();
      if (take(']')) return;
      expect(',');
    }
  }
  // Calls `each` with every name of an object; it reads the value.
  template <class Each>
  void object(Each each) {
    expect('{');
    if (take('}')) return;
    while (ok_) {
      const std::string_view name = text();
      expect(':');
      each(name);
      if (take('}')) return;
      expect(',');
    }
  }
  void skip_value(int depth = 0) {
    skip_space();
    if (!ok_ || rest_.empty() || depth > kDepthMax) {
      ok_ = false;
    } else if (rest_.front() == '"') {
      text();
    } else if (rest_.front() == '{') {
      object([&](std::string_view) { skip_value(depth + 1); });
    } else if (rest_.front() == '[') {
      array([&] { skip_value(depth + 1); });
    } else if (!skip_word("null") && !skip_word("true") && !skip_word("false")) {
      integer();
    }
  }

 private:
  void skip_space() {
    const size_t count = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(count == std::string_view::npos ? rest_.size() : count);
  }
  bool skip_word(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

std::string QuorumState::to_json() const {
  std::string text = "{\"clusterId\":\"\",\"leaderId\":" + std::to_string(leader.value) +
                     ",\"leaderEpoch\":" + std::to_string(epoch.value) +
                     ",\"votedId\":-1,\"appliedOffset\":0,\"currentVoters\":[";
  for (size_t i = 0; i < voters.size(); ++i) {
    if (i > 0) text += ',';
    text += "{\"voterId\":" + std::to_string(voters[i]) + "}";
  }
  return text + "],\"data_version\":0}";
}

base::Result<QuorumState> QuorumState::from_json(std::string_view text) {
  QuorumState state;
  JsonCursor in(text);
  std::optional<int64_t> leader;
  std::optional<int64_t> epoch;
  in.object([&](std::string_view name) {
    if (name == "leaderId") {
      leader = in.integer();
    } else if (name == "leaderEpoch") {
      epoch = in.integer();
    } else if (name == "currentVoters") {
      in.array([&] {
        in.object([&](std::string_view field) {
          if (field == "voterId") {
            state.voters.push_back(static_cast<int32_t>(in.integer()));
          } else {
            in.skip_value();
          }
        });
      });
    } else {
      in.skip_value();
    }
  });
  if (!in.ok() || !in.at_end() || !leader || !epoch || *leader < -1 || *leader > INT32_MAX ||
      *epoch < 0 || *epoch >= INT32_MAX) {
    return base::fail(base::Errc::corrupt, "quorum-state is not Kafka's JSON");
  }
  state.leader = NodeId{static_cast<int32_t>(*leader)};
  state.epoch = LeaderEpoch{static_cast<int32_t>(*epoch)};
  return state;
}

}  // namespace verdict::meta
