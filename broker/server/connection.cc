#include "broker/server/connection.h"

#include <algorithm>
#include <array>
#include <utility>

#include "broker/base/check.h"
#include "broker/base/endian.h"
#include "broker/server/probes.h"
#include "broker/wire/produce.h"

namespace verdict::server {

namespace {

constexpr runtime::Instant kNever = runtime::Instant::never();

// The first bytes of protocols that come to the wrong door, for the one line in the log.
const char* foreign_protocol(std::string_view start) {
  if (start.starts_with("\x16\x03")) return "a TLS hello; this listener speaks PLAINTEXT";
  for (std::string_view verb : {"GET ", "POST", "PUT ", "HEAD", "OPTI", "DELE", "CONN"}) {
    if (start.starts_with(verb)) return "HTTP; this port speaks Kafka's protocol";
  }
  return nullptr;
}

Answer answer_unknown_version(const Request& request) {
  return wire::api_versions_fallback(request.correlation_id());
}

}  // namespace

Connection::Connection(BrokerShard& shard, std::unique_ptr<runtime::Stream> stream,
                       const BoundListener& listener)
    : shard_(shard),
      node_(shard.node()),
      stream_(std::move(stream)),
      listener_(listener),
      closing_(node_.tasks),
      caller_{shard_, listener_, stream_->local(), stream_->peer(), closing_},
      in_flight_max_(
          std::min(kInFlightMax, static_cast<size_t>(shard.config().queued_requests_max))),
      active_(node_.clock.now()),
      pending_changed_(node_.tasks) {
  CHECK(in_flight_max_ > 0);
}

Connection::~Connection() {
  uint64_t charged = buffered_charge_;
  for (const Pending& pending : pending_) charged += pending.charged;
  if (charged > 0) shard_.in_flight_bytes().release(charged);
}

void Connection::run() {
  runtime::Nursery writer(node_.tasks);
  writer.spawn("writer", [this] { write_answers(); });
  read_requests();
  closing_.set();
  pending_changed_.notify_all();
  // What was asked before the end is answered, if the peer still takes it.
  (void)writer.join_all(node_.clock.after(kLastAnswersWait));
  writer.stop();
}

// ---------------------------------------------------------------- reader

void Connection::read_requests() {
  while (!broken_ && !shard_.draining()) {
    while (pending_.size() >= in_flight_max_ && !broken_) {
      if (pending_changed_.wait(kNever) == runtime::Wake::cancelled) return;
    }
    auto frame = read_frame();
    if (!frame || !take(std::move(*frame))) return;
  }
}

bool Connection::charge(uint64_t bytes) {
  if (shard_.in_flight_bytes().acquire(bytes, node_.clock.after(kMemoryWait))) {
    buffered_charge_ += bytes;
    return true;
  }
  refuse("connection closed", "the memory for requests stayed exhausted");
  return false;
}

bool Connection::read_more(size_t wanted) {
  const int64_t idle_ms = shard_.config().connections_idle_max_ms;
  for (;;) {
    const size_t limit = wanted > kReadBytes ? std::min(wanted, kReadBytesLarge) : kReadBytes;
    auto got = stream_->try_read(limit);
    if (!got) return false;
    if (got->has_value()) {
      if ((*got)->empty()) return false;  // the peer's end
      active_ = node_.clock.now();
      if (!charge((*got)->size())) return false;
      buffered_.push_back(std::move(**got));
      return true;
    }
    runtime::Waitable* const waits[] = {&stream_->readable(), &shard_.draining_event(), &closing_};
    const auto deadline =
        idle_ms < 0 ? kNever : active_ + runtime::milliseconds(std::max<int64_t>(idle_ms, 1));
    auto woken = runtime::wait_any(node_.tasks, waits, deadline);
    if (!woken && woken.error().code == base::Errc::timed_out) {
      if (node_.clock.now() - active_ < runtime::milliseconds(idle_ms)) continue;
      if (!pending_.empty()) {  // it waits for us
        active_ = node_.clock.now();
        continue;
      }
      node_.observer.reached(kProbeIdleClosed);
      return false;
    }
    if (!woken || shard_.draining() || closing_.ready()) return false;
  }
}

std::optional<base::Slices> Connection::read_frame() {
  while (buffered_.size() < wire::kFrameLengthBytes) {
    if (!read_more(kReadBytes)) return std::nullopt;
  }
  std::array<std::byte, wire::kFrameLengthBytes> prefix;
  buffered_.copy_to(0, prefix);
  const auto size = base::load_be<int32_t>(prefix.data());
  if (size < 0 || size > shard_.config().request_bytes_max) {
    const std::string_view start(reinterpret_cast<const char*>(prefix.data()), prefix.size());
    const char* foreign = foreign_protocol(start);
    refuse("request refused", foreign != nullptr
                                  ? std::string("not Kafka but ") + foreign
                                  : "a frame of " + std::to_string(size) +
                                        " bytes; socket.request.max.bytes is " +
                                        std::to_string(shard_.config().request_bytes_max));
    return std::nullopt;
  }
  const size_t whole = wire::kFrameLengthBytes + static_cast<size_t>(size);
  while (buffered_.size() < whole) {
    if (!read_more(whole - buffered_.size())) return std::nullopt;
  }
  CHECK(buffered_charge_ >= buffered_.size());
  base::Slices frame = buffered_.cut(wire::kFrameLengthBytes, static_cast<size_t>(size));
  buffered_ = buffered_.cut(whole, buffered_.size() - whole);
  return frame;
}

bool Connection::take(base::Slices frame) {
  const uint64_t charged = frame.size() + wire::kFrameLengthBytes;
  CHECK(charged <= buffered_charge_);
  auto parsed = wire::parse_request(frame);
  if (!parsed) {
    refuse("request refused", parsed.error().detail);
    return false;
  }
  buffered_charge_ -= charged;
  auto request = std::make_unique<Request>(Request{caller_, std::move(*parsed), node_.clock.now()});
  const wire::Api* api = request->frame.api;
  if (api != nullptr && api->key == wire::kApiVersionsKey && !request->frame.version_known()) {
    push({std::move(request), nullptr, &answer_unknown_version, charged});
    return true;
  }
  if (api == nullptr || !api->served(request->version())) {
    const int16_t key = request->frame.header.request_api_key;
    push({nullptr, nullptr, nullptr, charged});  // what was asked before is still answered
    refuse("request refused", "API key " + std::to_string(key) + " version " +
                                  std::to_string(request->version()) + " is not served");
    return false;
  }
  if (api->key == wire::ProduceRequest::kApiKey) {
    return take_produce(std::move(request), charged);
  }
  const Handler handler = find_handler(api->key);
  CHECK(handler != nullptr);
  push({std::move(request), nullptr, handler, charged});
  return true;
}

bool Connection::take_produce(std::unique_ptr<Request> request, uint64_t charged) {
  while (pending_others_ > 0 && !broken_) {
    if (pending_changed_.wait(kNever) == runtime::Wake::cancelled) break;
  }
  if (broken_ || pending_others_ > 0) {
    push({nullptr, nullptr, nullptr, charged});
    return false;
  }
  if (!pending_.empty()) node_.observer.reached(kProbeRunAhead);
  auto begun = begin_produce(*request);
  if (!begun) {
    push({nullptr, nullptr, nullptr, charged});
    refuse("request refused", begun.error().detail);
    return false;
  }
  node_.observer.reached(kProbeProduceAppended);
  push({std::move(request), std::move(*begun), nullptr, charged});
  return true;
}

void Connection::push(Pending pending) {
  CHECK(pending_.size() <= in_flight_max_);
  if (pending.produce == nullptr) ++pending_others_;
  pending_.push_back(std::move(pending));
  pending_changed_.notify_all();
}

void Connection::refuse(const char* event, std::string why) {
  node_.observer.reached(kProbeConnectionRefused);
  node_.observer.warning(event, {{"peer", caller_.peer.to_string()}, {"why", why}});
}

// ---------------------------------------------------------------- writer

void Connection::write_answers() {
  for (;;) {
    while (pending_.empty()) {
      if (closing_.ready()) return;
      if (pending_changed_.wait(kNever) == runtime::Wake::cancelled) return end();
    }
    const Outgoing outgoing = make_answers();
    CHECK(outgoing.requests <= pending_.size());
    if (!send(outgoing)) {
      stream_->abort();
      return end();
    }
    for (size_t i = 0; i < outgoing.requests; ++i) {
      const Pending& answered = pending_.front();
      shard_.in_flight_bytes().release(answered.charged);
      if (answered.produce == nullptr) {
        CHECK(pending_others_ > 0);
        --pending_others_;
      }
      pending_.pop_front();
    }
    if (!outgoing.goes_on) return end();
    pending_changed_.notify_all();
  }
}

Answer Connection::answer_to(Pending& next) {
  CHECK(!next.ends());
  return next.produce != nullptr ? next.produce->finish() : next.handler(*next.request);
}

Connection::Outgoing Connection::make_answers() {
  CHECK(!pending_.empty());
  Outgoing outgoing;
  // The reader may add requests meanwhile; those that are here stay where they are.
  while (outgoing.requests < pending_.size() && outgoing.replies < kAnswersTogether) {
    Pending& next = pending_[outgoing.requests];
    const bool first = outgoing.requests == 0;
    if (!first && !next.ends() && (next.produce == nullptr || next.produce->would_wait())) break;
    outgoing.goes_on = !next.ends();
    if (!outgoing.goes_on) break;
    Answer answer = answer_to(next);
    if (!answer) {
      if (answer.error().code != base::Errc::cancelled) {
        refuse("request refused", answer.error().detail);
      }
      outgoing.goes_on = false;
      break;
    }
    ++outgoing.requests;
    if (answer->empty()) continue;
    ++outgoing.replies;
    outgoing.frames.append(*answer);
  }
  return outgoing;
}

bool Connection::send(const Outgoing& outgoing) {
  if (outgoing.frames.empty()) return true;
  const int64_t idle_ms = shard_.config().connections_idle_max_ms;
  const auto deadline = idle_ms < 0 ? kNever : node_.clock.after(runtime::milliseconds(idle_ms));
  if (!stream_->write_all(outgoing.frames.span(), deadline)) return false;
  active_ = node_.clock.now();
  for (size_t i = 0; i < outgoing.replies; ++i) node_.observer.reached(kProbeReplySent);
  return true;
}

// The writer gives up, and the reader hears of it. What was answered before still goes out.
void Connection::end() {
  broken_ = true;
  closing_.set();
  pending_changed_.notify_all();
}

}  // namespace verdict::server
