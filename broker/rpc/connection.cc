#include "broker/rpc/connection.h"

#include <algorithm>
#include <array>
#include <utility>

#include "broker/base/check.h"
#include "broker/rpc/backoff.h"
#include "broker/rpc/probes.h"
#include "broker/wire/api_versions.h"
#include "broker/wire/errors.h"

namespace verdict::rpc {

using base::Errc;
using base::Error;
using base::fail;
using base::Result;
using base::Slice;
using base::Slices;
using runtime::Instant;

namespace {

const wire::Api& api_of(int16_t key) {
  const wire::Api* api = wire::find_api(key);
  CHECK(api != nullptr);
  return *api;
}

int32_t read_int32(const Slices& bytes) {
  std::array<std::byte, sizeof(int32_t)> raw{};
  bytes.copy_to(0, raw);
  return base::load_be<int32_t>(raw.data());
}

// The first field of every ApiVersions response, whatever its version.
int16_t versions_error(const Slices& body) {
  std::array<std::byte, sizeof(int16_t)> raw{};
  if (body.size() < raw.size()) return static_cast<int16_t>(wire::ErrorCode::none);
  body.copy_to(0, raw);
  return base::load_be<int16_t>(raw.data());
}

}  // namespace

Peer::Peer(runtime::Node& node, runtime::Nursery& nursery, runtime::Endpoint endpoint,
           PeerOptions options, base::UniqueFunction<void()> on_change)
    : ShardBound(node.tasks),
      node_(node),
      endpoint_(std::move(endpoint)),
      options_(std::move(options)),
      on_change_(std::move(on_change)),
      kick_(node.tasks),
      settled_(node.tasks) {
  CHECK(options_.response_bytes_max <= INT32_MAX);
  nursery.spawn("rpc.peer", [this] { run(); });
}

void Peer::want() {
  check_shard();
  if (state_ != State::idle) return;
  state_ = State::wanted;
  kick_.set();
}

void Peer::disconnect(Error why) {
  check_shard();
  if (state_ != State::connected || broken_) return;
  broken_ = std::move(why);
  kick_.set();
}

Result<int16_t> Peer::version(int16_t api_key, int16_t min, int16_t max) const {
  check_shard();
  if (state_ != State::connected) return std::unexpected(last_error_);
  const auto at = versions_.find(api_key);
  const VersionsOf offered = at == versions_.end() ? VersionsOf{} : at->second;
  const int16_t highest = std::min(max, offered.max);
  if (highest < std::max(min, offered.min)) {
    return fail(Errc::unsupported,
                endpoint_.to_string() + " speaks " + std::string(api_of(api_key).name) + " " +
                    std::to_string(offered.min) + " to " + std::to_string(offered.max) +
                    ", needed is one of " + std::to_string(min) + " to " + std::to_string(max));
  }
  return highest;
}

Result<> Peer::wait_connected(Instant deadline) {
  check_shard();
  const uint64_t seen = attempts_;
  want();
  while (!connected()) {
    if (state_ == State::stopped || attempts_ != seen) return std::unexpected(last_error_);
    const runtime::Wake wake = settled_.wait(deadline);
    if (wake != runtime::Wake::notified && !connected()) {
      return runtime::to_result(wake, "connect to a peer");
    }
  }
  return {};
}

Result<> Peer::may_submit() const {
  check_shard();
  if (state_ != State::connected || broken_) {
    return fail(Errc::wrong_state, "not connected to " + endpoint_.to_string());
  }
  if (open_.size() + posted_.size() >= kOpenMax || outbox_.size() >= kOutboxBytesMax) {
    return fail(Errc::exhausted, "too much open at " + endpoint_.to_string());
  }
  return {};
}

int32_t Peer::next_correlation_id() {
  correlation_id_ = correlation_id_ == INT32_MAX ? 0 : correlation_id_ + 1;
  return correlation_id_;
}

void Peer::enqueue(Slices frame, Open open, bool answered) {
  CHECK(state_ == State::connected);
  CHECK(open_.size() + posted_.size() < kOpenMax);
  const bool nothing_waits = outbox_.empty();
  enqueued_bytes_ += frame.size();
  outbox_.append(frame);
  if (nothing_waits) {
    // Nearly always the stream takes all of it at once and this peer's fiber sleeps on.
    if (auto taken = flush_outbox(); !taken) broken_ = std::move(taken).error();
  }
  const bool in_time = answered && armed_ <= open.deadline;
  if (answered) {
    open_.push_back(std::move(open));
  } else {
    posted_.push_back({.end_position = enqueued_bytes_, .on_done = std::move(open.on_done)});
  }
  if (broken_ || !outbox_.empty() || !in_time) kick_.set();
}

void Peer::run() {
  while (wait_wanted()) {
    state_ = State::connecting;
    if (auto made = connect(); !made) {
      ++failures_;
      node_.observer.reached(kProbeConnectFailed);
      settle(std::move(made).error());
      continue;
    }
    settle(serve().error());
  }
  state_ = State::stopped;
  settled_.notify_all();
}

Result<> Peer::wait_wanted() {
  while (state_ != State::wanted) {
    kick_.reset();
    TRY(kick_.wait(Instant::never()));
  }
  if (node_.clock.now() < next_attempt_) TRY(node_.clock.sleep_until(next_attempt_));
  return {};
}

Result<> Peer::connect() {
  CHECK(stream_ == nullptr);
  const Instant deadline = node_.clock.after(options_.connect_timeout);
  stream_ = TRY(node_.network.connect(endpoint_, deadline));
  return negotiate(deadline);
}

Result<> Peer::negotiate(Instant deadline) {
  int16_t at_version = wire::ApiVersionsRequest::kVersionMax;
  Slices body = TRY(exchange_versions(at_version, deadline));
  constexpr auto kUnsupported = static_cast<int16_t>(wire::ErrorCode::unsupported_version);
  if (versions_error(body) == kUnsupported) {
    // An older peer: it answers in version 0 and names the versions that it knows.
    const auto older = TRY(wire::ApiVersionsResponse::decode(body, 0));
    at_version = 0;
    for (const auto& api : older.api_keys) {
      if (api.api_key != wire::kApiVersionsKey) continue;
      at_version = std::clamp<int16_t>(api.max_version, 0, wire::ApiVersionsRequest::kVersionMax);
    }
    body = TRY(exchange_versions(at_version, deadline));
  }
  const auto response = TRY(wire::ApiVersionsResponse::decode(body, at_version));
  if (response.error_code != static_cast<int16_t>(wire::ErrorCode::none)) {
    return fail(
        Errc::invalid,
        "ApiVersions refused with " +
            std::string(wire::to_string(static_cast<wire::ErrorCode>(response.error_code))));
  }
  CHECK(versions_.empty());
  for (const auto& api : response.api_keys) {
    versions_[api.api_key] = {.min = api.min_version, .max = api.max_version};
  }
  return {};
}

Result<Slices> Peer::exchange_versions(int16_t at_version, Instant deadline) {
  wire::ApiVersionsRequest request;
  if (at_version >= wire::ApiVersionsRequest::kFlexibleFrom) {
    request.client_software_name = "verdict";
    request.client_software_version = "1";
  }
  const int32_t correlation_id = next_correlation_id();
  const Slices frame = wire::request_frame(request, at_version, correlation_id, options_.client_id);
  TRY(stream_->write_all(frame.span(), deadline));
  const Slices length = TRY(stream_->read_exact(wire::kFrameLengthBytes, deadline));
  const int32_t size = read_int32(length);
  if (size < 0 || static_cast<size_t>(size) > options_.response_bytes_max) {
    return fail(Errc::invalid, "no Kafka broker: a frame of " + std::to_string(size) + " bytes");
  }
  const Slices answer = TRY(stream_->read_exact(static_cast<size_t>(size), deadline));
  auto response = TRY(wire::parse_response(answer, api_of(wire::kApiVersionsKey), at_version));
  if (response.correlation_id != correlation_id) {
    return fail(Errc::invalid, "ApiVersions answered with another correlation id");
  }
  return std::move(response.body);
}

Result<> Peer::serve() {
  CHECK(open_.empty() && posted_.empty() && outbox_.empty() && inbox_.empty());
  state_ = State::connected;
  failures_ = 0;
  enqueued_bytes_ = 0;
  broken_.reset();
  armed_ = node_.clock.now();
  changed();
  for (;;) {
    kick_.reset();
    TRY(flush_outbox());
    finish_posted();
    if (broken_) return std::unexpected(*broken_);
    TRY(wait_for_work());
    TRY(read_available());
  }
}

Instant Peer::earliest_deadline() const {
  Instant earliest = Instant::never();
  for (const Open& open : open_) earliest = std::min(earliest, open.deadline);
  return earliest;
}

Result<> Peer::wait_for_work() {
  const Instant now = node_.clock.now();
  const Instant earliest = earliest_deadline();
  if (earliest <= now) {
    // After a pause an answer may be here already.
    if (stream_->readable().ready()) return {};
    node_.observer.reached(kProbeRequestTimedOut);
    return fail(Errc::timed_out, "no answer to " + std::string(api_of(open_.front().api_key).name));
  }
  // Never later than a new request's usual deadline, so that it need not wake this fiber.
  armed_ = std::min(earliest, now + options_.request_timeout);
  const std::array<runtime::Waitable*, 3> conditions = {&stream_->readable(), &kick_,
                                                        &stream_->writable()};
  const size_t count = outbox_.empty() ? 2 : 3;
  auto woken = runtime::wait_any(node_.tasks, {conditions.data(), count}, armed_);
  if (!woken && woken.error().code != Errc::timed_out) {
    return std::unexpected(std::move(woken).error());
  }
  return {};
}

Result<> Peer::read_available() {
  if (!stream_->readable().ready()) return {};
  std::optional<Slice> slice = TRY(stream_->try_read(kReadBytes));
  if (!slice) return {};
  if (slice->empty()) return fail(Errc::closed, "the peer closed");
  inbox_.push_back(std::move(*slice));
  return take_frames();
}

Result<> Peer::take_frames() {
  size_t at = 0;
  while (inbox_.size() - at >= wire::kFrameLengthBytes) {
    const int32_t size = read_int32(inbox_.cut(at, wire::kFrameLengthBytes));
    if (size < 0 || static_cast<size_t>(size) > options_.response_bytes_max) {
      return fail(Errc::invalid, "a response of " + std::to_string(size) + " bytes");
    }
    const size_t bytes = static_cast<size_t>(size);
    if (inbox_.size() - at - wire::kFrameLengthBytes < bytes) break;
    TRY(finish_front(inbox_.cut(at + wire::kFrameLengthBytes, bytes)));
    at += wire::kFrameLengthBytes + bytes;
  }
  if (at > 0) inbox_ = inbox_.cut(at, inbox_.size() - at);
  return {};
}

Result<> Peer::finish_front(const Slices& frame) {
  if (open_.empty()) return fail(Errc::invalid, "a response that nobody asked for");
  const Open& front = open_.front();
  auto response = TRY(wire::parse_response(frame, api_of(front.api_key), front.version));
  if (response.correlation_id != front.correlation_id) {
    return fail(Errc::invalid, "response " + std::to_string(response.correlation_id) +
                                   " instead of " + std::to_string(front.correlation_id));
  }
  OnResponse on_done = std::move(open_.front().on_done);
  open_.pop_front();
  on_done(std::move(response.body));
  return {};
}

void Peer::finish_posted() {
  CHECK(outbox_.size() <= enqueued_bytes_);
  const uint64_t taken = enqueued_bytes_ - outbox_.size();
  while (!posted_.empty() && posted_.front().end_position <= taken) {
    OnResponse on_done = std::move(posted_.front().on_done);
    posted_.pop_front();
    on_done(Slices{});
  }
}

Result<> Peer::flush_outbox() {
  if (outbox_.empty()) return {};
  const size_t taken = TRY(stream_->try_write(outbox_.span()));
  CHECK(taken <= outbox_.size());
  outbox_ = outbox_.cut(taken, outbox_.size() - taken);
  if (!outbox_.empty()) node_.observer.reached(kProbeSendBufferFull);
  return {};
}

void Peer::changed() {
  ++attempts_;
  settled_.notify_all();
  if (on_change_) on_change_();
}

void Peer::settle(Error why) {
  CHECK(state_ == State::connecting || state_ == State::connected);
  last_error_ = {why.code, endpoint_.to_string() + ": " + why.detail};
  state_ = State::idle;
  next_attempt_ = node_.clock.after(
      backoff(node_.random, std::max(failures_, 1U), options_.backoff_min, options_.backoff_max));
  stream_.reset();
  versions_.clear();
  inbox_ = {};
  outbox_ = {};
  std::deque<Open> open = std::exchange(open_, {});
  std::deque<Posted> posted = std::exchange(posted_, {});
  const bool by_owner = last_error_.code == Errc::cancelled;
  if (!open.empty() && !by_owner) node_.observer.reached(kProbeLostWithOpenRequests);
  for (Open& request : open) request.on_done(std::unexpected(last_error_));
  for (Posted& request : posted) request.on_done(std::unexpected(last_error_));
  changed();
}

}  // namespace verdict::rpc
