#include "fault/plan.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "broker/base/check.h"

namespace verdict::fault {
namespace {

using base::Errc;
using base::Result;

constexpr auto kKinds = std::to_array<KindInfo>({
    {Kind::crash, "crash", "the process dies, the machine lives; boots again after the duration",
     "a request open or bytes unsynced at the crash", true, false, false, Amount::none},
    {Kind::power_loss, "power_loss", "the machine loses power; boots again after the duration",
     "a request open or bytes unsynced at the loss", true, false, false, Amount::none},
    {Kind::stop, "stop", "the process is asked to stop in good order and is started again",
     "it came to its end", false, false, false, Amount::none},
    {Kind::pause, "pause", "no fiber of the node runs; its kernel still takes bytes",
     "a fiber ran tenfold late", true, false, false, Amount::none},
    {Kind::slow_node, "slow_node", "all work on the node costs a multiple",
     "a fiber ran tenfold late", true, false, false, Amount::factor},
    {Kind::cut, "cut", "nothing passes between two nodes", "bytes held or a connect hung", true,
     true, false, Amount::none},
    {Kind::cut_one_way, "cut_one_way", "nothing passes from the first node to the second",
     "bytes held or a connect hung", true, true, false, Amount::none},
    {Kind::slow_link, "slow_link", "everything between two nodes takes longer", "bytes delayed",
     true, true, false, Amount::time},
    {Kind::reset_connections, "reset_connections", "every connection between two nodes is reset",
     "an open connection was reset", false, true, false, Amount::none},
    {Kind::half_open, "half_open", "the first node forgets its connections with the second",
     "an open connection was forgotten", false, true, false, Amount::none},
    {Kind::refuse_connects, "refuse_connects", "new connections to the node are refused",
     "a connect was refused", true, false, false, Amount::none},
    {Kind::hang_connects, "hang_connects", "new connections to the node get no answer",
     "a connect hung", true, false, false, Amount::none},
    {Kind::accept_overflow, "accept_overflow", "the node queues only so many connections",
     "a connect found the queue full", true, false, false, Amount::count},
    {Kind::short_reads, "short_reads", "reads of the node are cut short at any byte",
     "a read was short", true, false, false, Amount::permille},
    {Kind::disk_full, "disk_full", "only so many bytes are free on the disk", "a write was refused",
     true, false, false, Amount::bytes},
    {Kind::disk_slow, "disk_slow", "the device takes a multiple of its time",
     "an operation took tenfold", true, false, false, Amount::factor},
    {Kind::disk_stall, "disk_stall", "device operations hang until the end", "an operation hung",
     true, false, false, Amount::none},
    {Kind::sync_fails, "sync_fails", "the next sync of a file fails once and forgets",
     "a sync failed", false, false, true, Amount::none},
    {Kind::io_errors, "io_errors", "reads, writes and syncs fail with this chance",
     "an operation failed", true, false, true, Amount::permille},
    {Kind::bit_rot, "bit_rot", "one durable bit of a file flips", "a bit was flipped", false, false,
     true, Amount::none},
    {Kind::clock_step, "clock_step", "the wall clock jumps", "somebody read the clock afterwards",
     false, false, false, Amount::time},
    {Kind::clock_freeze, "clock_freeze", "the wall clock stands still",
     "somebody read the clock meanwhile", true, false, false, Amount::none},
    {Kind::clock_drift, "clock_drift",
     "the node is restarted with a monotonic clock that is off by parts per million",
     "somebody read the clock afterwards", true, false, false, Amount::ppm},
});
static_assert(kKinds.size() == static_cast<size_t>(Kind::clock_drift) + 1);

struct AmountName {
  Amount amount;
  std::string_view name;
};
constexpr auto kAmountNames = std::to_array<AmountName>({
    {Amount::factor, "factor"},
    {Amount::bytes, "bytes"},
    {Amount::time, "by"},
    {Amount::permille, "permille"},
    {Amount::ppm, "ppm"},
    {Amount::count, "count"},
});

std::string_view amount_name(Amount amount) {
  for (const AmountName& entry : kAmountNames) {
    if (entry.amount == amount) return entry.name;
  }
  return "";
}

struct Unit {
  std::string_view name;
  int64_t ns;
};
constexpr auto kUnits = std::to_array<Unit>({
    {"ns", 1},
    {"us", 1'000},
    {"ms", 1'000'000},
    {"s", 1'000'000'000},
});

// The words of one line, each with its column.
class Words {
 public:
  Words(std::string_view line, size_t number) : number_(number) {
    size_t end = std::min(line.find('#'), line.size());
    for (size_t at = 0; at < end;) {
      at = std::min(line.find_first_not_of(" \t\r", at), end);
      if (at >= end) break;
      size_t stop = std::min(line.find_first_of(" \t\r", at), end);
      words_.push_back({line.substr(at, stop - at), at + 1});
      at = stop;
    }
    end_column_ = end + 1;
  }
  bool done() const { return next_ == words_.size(); }
  bool take_if(std::string_view text) {
    if (done() || words_[next_].text != text) return false;
    ++next_;
    return true;
  }
  Result<std::string> take(std::string_view what) {
    if (done()) return fail_here("expected " + std::string(what));
    return std::string(words_[next_++].text);
  }
  Result<uint64_t> take_number(std::string_view what) {
    auto word = take(what);
    if (!word) return std::unexpected(word.error());
    uint64_t value = 0;
    auto [end, error] = std::from_chars(word->data(), word->data() + word->size(), value);
    if (error != std::errc{} || end != word->data() + word->size()) {
      return fail_before("'" + *word + "' is no number; expected " + std::string(what));
    }
    return value;
  }
  std::unexpected<base::Error> fail_here(std::string text) const {
    return place(done() ? end_column_ : words_[next_].column, std::move(text));
  }
  // At the word that was taken last.
  std::unexpected<base::Error> fail_before(std::string text) const {
    return place(next_ == 0 ? 1 : words_[next_ - 1].column, std::move(text));
  }

 private:
  struct Word {
    std::string_view text;
    size_t column;
  };
  std::unexpected<base::Error> place(size_t column, std::string text) const {
    return base::fail(Errc::invalid, "line " + std::to_string(number_) + ", column " +
                                         std::to_string(column) + ": " + std::move(text));
  }
  size_t number_;
  size_t end_column_ = 1;
  size_t next_ = 0;
  std::vector<Word> words_;
};

std::string kind_names() {
  std::string names;
  for (const KindInfo& k : kKinds) names += (names.empty() ? "" : ", ") + std::string(k.name);
  return names;
}

// "K of PATTERN"
Result<> parse_operation(Words& words, Trigger& trigger) {
  trigger.k = TRY(words.take_number("which one, counted from 1"));
  if (!words.take_if("of")) return words.fail_here("expected 'of' and a file pattern");
  trigger.name = TRY(words.take("a file pattern, for example *.log"));
  return {};
}

Result<Trigger> parse_trigger(Words& words) {
  Trigger trigger;
  if (words.take_if("probe")) {
    trigger.on = Trigger::On::probe;
    trigger.name = TRY(words.take("the name of a probe (see: verdict list probes)"));
    trigger.k = TRY(words.take_number("how often it was reached then"));
  } else if (words.take_if("sync")) {
    trigger.on = Trigger::On::sync;
    TRY(parse_operation(words, trigger));
    trigger.before = words.take_if("before");
    if (!trigger.before && !words.take_if("after")) {
      return words.fail_here("expected 'before' or 'after'");
    }
  } else if (words.take_if("write")) {
    trigger.on = Trigger::On::write;
    TRY(parse_operation(words, trigger));
  } else {
    std::string word = TRY(words.take("a time, 'probe', 'sync' or 'write'"));
    auto at = parse_duration(word);
    if (!at) {
      return words.fail_before("'" + word +
                               "' is no time; write for example 1.5s, or 'probe', "
                               "'sync' or 'write'");
    }
    trigger.at_ns = *at;
  }
  if (trigger.k == 0) return words.fail_before("counts start at 1");
  return trigger;
}

Result<int64_t> parse_amount(Words& words, const KindInfo& kind) {
  std::string_view name = amount_name(kind.amount);
  if (!words.take_if(name)) {
    return words.fail_here("expected '" + std::string(name) + "' and a value");
  }
  if (kind.amount == Amount::time) {
    std::string word = TRY(words.take("a length of time, for example -3s"));
    auto value = parse_duration(word);
    if (!value) return words.fail_before("'" + word + "' is no length of time, as in -3s or 20ms");
    return *value;
  }
  bool negative = words.take_if("-");
  uint64_t value = TRY(words.take_number(name));
  if (value > INT64_MAX) return words.fail_before("too large");
  return negative ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
}

Result<Fault> parse_fault(Words& words) {
  Fault fault;
  if (!words.take_if("at")) return words.fail_here("a line begins with 'at'");
  fault.trigger = TRY(parse_trigger(words));
  std::string name = TRY(words.take("a fault: " + kind_names()));
  auto kind =
      std::find_if(kKinds.begin(), kKinds.end(), [&](const KindInfo& k) { return k.name == name; });
  if (kind == kKinds.end()) {
    return words.fail_before("unknown fault '" + name + "'; there are " + kind_names());
  }
  fault.kind = kind->kind;
  fault.target = TRY(words.take("the node that it happens to"));
  if (kind->second) fault.second = TRY(words.take("the other node"));
  if (kind->path && words.take_if("on")) fault.path = TRY(words.take("a file pattern"));
  if (kind->amount != Amount::none) fault.amount = TRY(parse_amount(words, *kind));
  if (kind->lasts) {
    if (!words.take_if("for")) return words.fail_here("expected 'for' and a length of time");
    std::string word = TRY(words.take("a length of time"));
    auto length = parse_duration(word);
    if (!length || *length < 0) return words.fail_before("'" + word + "' is no length of time");
    fault.duration_ns = *length;
  }
  if (!words.done()) return words.fail_here("the line should end here");
  return fault;
}

}  // namespace

std::span<const KindInfo> kinds() { return kKinds; }

const KindInfo& info(Kind kind) {
  auto index = static_cast<size_t>(kind);
  CHECK(index < kKinds.size());
  CHECK(kKinds[index].kind == kind);
  return kKinds[index];
}

std::string print_duration(int64_t ns) {
  if (ns == 0) return "0s";
  const Unit* unit = &kUnits[0];
  for (const Unit& u : kUnits) {
    if (ns >= u.ns || ns <= -u.ns) unit = &u;
  }
  uint64_t magnitude = ns < 0 ? 0 - static_cast<uint64_t>(ns) : static_cast<uint64_t>(ns);
  auto scale = static_cast<uint64_t>(unit->ns);
  std::string text = (ns < 0 ? "-" : "") + std::to_string(magnitude / scale);
  if (uint64_t rest = magnitude % scale; rest != 0) {
    std::string decimals = std::to_string(scale + rest).substr(1);
    text += "." + decimals.substr(0, decimals.find_last_not_of('0') + 1);
  }
  return text + std::string(unit->name);
}

Result<int64_t> parse_duration(std::string_view text) {
  auto bad = [&] { return base::fail(Errc::invalid, "no length of time: " + std::string(text)); };
  std::string_view rest = text;
  bool negative = rest.starts_with('-');
  if (negative) rest.remove_prefix(1);
  size_t digits = std::min(rest.find_first_not_of("0123456789."), rest.size());
  std::string_view number = rest.substr(0, digits);
  std::string_view name = rest.substr(digits);
  auto unit =
      std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return u.name == name; });
  if (unit == kUnits.end() || number.empty()) return bad();
  size_t point = std::min(number.find('.'), number.size());
  int64_t whole = 0;
  auto [end, error] = std::from_chars(number.data(), number.data() + point, whole);
  if (error != std::errc{} || end != number.data() + point) return bad();
  if (whole > INT64_MAX / 2 / unit->ns) return bad();
  int64_t ns = whole * unit->ns;
  int64_t scale = unit->ns;
  for (size_t i = point + 1; i < number.size(); ++i) {
    if (number[i] == '.' || scale % 10 != 0) return bad();
    scale /= 10;
    ns += (number[i] - '0') * scale;
  }
  return negative ? -ns : ns;
}

std::string print(const Fault& fault) {
  const KindInfo& kind = info(fault.kind);
  const Trigger& t = fault.trigger;
  std::string line = "at ";
  switch (t.on) {
    case Trigger::On::time:
      line += print_duration(t.at_ns);
      break;
    case Trigger::On::probe:
      line += "probe " + t.name + " " + std::to_string(t.k);
      break;
    case Trigger::On::sync:
      line += "sync " + std::to_string(t.k) + " of " + t.name + (t.before ? " before" : " after");
      break;
    case Trigger::On::write:
      line += "write " + std::to_string(t.k) + " of " + t.name;
      break;
  }
  line += " " + std::string(kind.name) + " " + fault.target;
  if (kind.second) line += " " + fault.second;
  if (kind.path && !fault.path.empty()) line += " on " + fault.path;
  if (kind.amount == Amount::time) {
    line += " by " + print_duration(fault.amount);
  } else if (kind.amount != Amount::none) {
    line += " " + std::string(amount_name(kind.amount)) + (fault.amount < 0 ? " - " : " ") +
            std::to_string(fault.amount < 0 ? -fault.amount : fault.amount);
  }
  if (kind.lasts) line += " for " + print_duration(fault.duration_ns);
  return line;
}

std::string print(const Plan& plan) {
  std::string text;
  for (const Fault& fault : plan.faults) text += print(fault) + "\n";
  return text;
}

Result<Plan> parse_plan(std::string_view text) {
  constexpr size_t kLinesMax = 100'000;
  Plan plan;
  for (size_t number = 1; !text.empty(); ++number) {
    if (number > kLinesMax) return base::fail(Errc::too_large, "a plan has at most 100000 lines");
    size_t end = std::min(text.find('\n'), text.size());
    Words words(text.substr(0, end), number);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.done()) continue;
    Fault fault = TRY(parse_fault(words));
    plan.faults.push_back(std::move(fault));
  }
  return plan;
}

}  // namespace verdict::fault
