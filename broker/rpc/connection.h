#pragma once
// Peer: requests and responses with one other node, over a connection that is made, negotiated,
// broken and made again.
//
// One fiber per peer, in the nursery of the peer's owner, does all that waits: connecting,
// ApiVersions, reading, time-outs, back-off. submit() never suspends.
//
// Invariants:
//   - responses come in the order of the requests; another correlation id breaks the connection;
//   - a request accepted by submit() gets exactly one call of its callback, on this peer's fiber;
//     an error given there leaves open whether the peer got the request;
//   - a request that submit() refuses has not left;
//   - a request not answered at its deadline breaks the connection, as what is behind it on the
//     connection could not be answered either; all open requests end with the same error;
//   - the nursery is stopped before the peer is destroyed.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "broker/base/function.h"
#include "broker/base/hash_map.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/runtime/node.h"
#include "broker/wire/api_table.h"
#include "broker/wire/frame.h"

namespace verdict::rpc {

struct PeerOptions {
  std::string client_id;
  runtime::Duration connect_timeout = runtime::seconds(10);  // TCP and ApiVersions together
  runtime::Duration request_timeout = runtime::seconds(30);  // of requests without a deadline
  // Between attempts to connect: doubled with every failure, with up to a fifth of jitter.
  runtime::Duration backoff_min = runtime::milliseconds(50);
  runtime::Duration backoff_max = runtime::milliseconds(1'000);
  size_t response_bytes_max = 128U << 20;
};

class Peer : public runtime::ShardBound {
 public:
  static constexpr size_t kOpenMax = 64;                // requests open on one connection
  static constexpr size_t kOutboxBytesMax = 64U << 20;  // encoded and not yet taken by the stream
  static constexpr size_t kReadBytes = 256U * 1024;     // asked of the stream at once

  // `on_change` is called on this peer's fiber after a connection was made, was lost or could not
  // be made. It must not suspend.
  Peer(runtime::Node& node, runtime::Nursery& nursery, runtime::Endpoint endpoint,
       PeerOptions options, base::UniqueFunction<void()> on_change = nullptr);
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  const runtime::Endpoint& endpoint() const { return endpoint_; }
  bool connected() const { return state_ == State::connected; }
  // Asks for a connection, after the back-off; nothing when there is one or one is being made.
  void want();
  // Failed attempts since the last connection.
  uint32_t failures() const { return failures_; }
  // Why there is no connection. Only after on_change.
  const base::Error& last_error() const { return last_error_; }
  size_t open_requests() const { return open_.size(); }
  // Tears the connection down; its requests end with `why`. Nothing when there is none.
  void disconnect(base::Error why);

  // The version to speak: the highest of [min, max] that the peer speaks too; unsupported when
  // there is none, wrong_state when not connected.
  base::Result<int16_t> version(int16_t api_key, int16_t min, int16_t max) const;

  using OnResponse = base::UniqueFunction<void(base::Result<base::Slices>)>;
  // Sends a request in a version from version(). `on_done` gets the response's body. Without
  // `answered` (acks=0) it is called with nothing when the stream has taken the request. Errors:
  // wrong_state (not connected), exhausted (kOpenMax, kOutboxBytesMax).
  template <class Request>
  base::Result<> submit(const Request& request, int16_t at_version, runtime::Instant deadline,
                        OnResponse on_done, bool answered = true) {
    TRY(may_submit());
    const int32_t correlation_id = next_correlation_id();
    base::Slices frame =
        wire::request_frame(request, at_version, correlation_id, options_.client_id);
    Open open{.correlation_id = correlation_id,
              .api_key = Request::kApiKey,
              .version = at_version,
              .deadline = deadline,
              .on_done = std::move(on_done)};
    enqueue(std::move(frame), std::move(open), answered);
    return {};
  }

  // Connects if need be, sends, and waits for the response. An attempt to connect that fails ends
  // the call. After `timed_out` the request may have been carried out all the same: the caller
  // goes, the request stays open until request_timeout, for the sake of the others behind it.
  template <class Response, class Request>
  base::Result<Response> call(const Request& request, int16_t version_min, int16_t version_max,
                              runtime::Instant deadline) {
    TRY(wait_connected(deadline));
    const int16_t at_version = TRY(version(Request::kApiKey, version_min, version_max));
    runtime::Promise<base::Result<base::Slices>> promise(node_.tasks);
    runtime::Future<base::Result<base::Slices>> future = promise.future();
    const runtime::Instant given_up =
        std::max(deadline, node_.clock.after(options_.request_timeout));
    TRY(submit(request, at_version, given_up,
               [p = std::move(promise)](base::Result<base::Slices> body) mutable {
                 p.set(std::move(body));
               }));
    base::Result<base::Slices> body = TRY(future.wait(deadline));
    const base::Slices bytes = TRY(std::move(body));
    return Response::decode(bytes, at_version);
  }
  // Waits for a connection, or for the end of the next attempt to make one.
  base::Result<> wait_connected(runtime::Instant deadline);

 private:
  enum class State : uint8_t { idle, wanted, connecting, connected, stopped };
  struct Open {
    int32_t correlation_id = 0;
    int16_t api_key = 0;
    int16_t version = 0;
    runtime::Instant deadline;
    OnResponse on_done;
  };
  // A request without an answer; done when the stream took it.
  struct Posted {
    uint64_t end_position = 0;  // in all bytes of the connection
    OnResponse on_done;
  };
  struct VersionsOf {
    int16_t min = 0;
    int16_t max = -1;
  };

  void run();
  base::Result<> wait_wanted();
  base::Result<> connect();
  base::Result<> negotiate(runtime::Instant deadline);
  base::Result<base::Slices> exchange_versions(int16_t at_version, runtime::Instant deadline);
  base::Result<> serve();
  base::Result<> read_available();
  base::Result<> take_frames();
  base::Result<> finish_front(const base::Slices& frame);
  void finish_posted();
  base::Result<> flush_outbox();
  base::Result<> wait_for_work();
  runtime::Instant earliest_deadline() const;
  // The attempt or connection is over: tells everybody.
  void settle(base::Error why);
  void changed();

  base::Result<> may_submit() const;
  int32_t next_correlation_id();
  void enqueue(base::Slices frame, Open open, bool answered);

  runtime::Node& node_;
  const runtime::Endpoint endpoint_;
  const PeerOptions options_;
  base::UniqueFunction<void()> on_change_;

  State state_ = State::idle;
  runtime::Event kick_;         // the fiber has something to look at
  runtime::WaitQueue settled_;  // an attempt to connect ended
  uint64_t attempts_ = 0;       // that ended
  uint32_t failures_ = 0;
  runtime::Instant next_attempt_;
  base::Error last_error_{base::Errc::wrong_state, "not connected yet"};

  std::unique_ptr<runtime::Stream> stream_;
  base::OrderedMap<int16_t, VersionsOf> versions_;
  std::deque<Open> open_;  // in the order of the requests
  std::deque<Posted> posted_;
  base::Slices outbox_;          // what the stream has not taken yet
  uint64_t enqueued_bytes_ = 0;  // on this connection, all in all
  base::Slices inbox_;           // what is not a whole frame yet
  std::optional<base::Error> broken_;
  runtime::Instant armed_;  // when the fiber wakes by itself
  int32_t correlation_id_ = 0;
};

}  // namespace verdict::rpc
