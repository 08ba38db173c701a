#pragma once
// Connection: one client. A reader takes requests off the stream, a writer answers them in the
// order in which they came.
//
// Invariants:
//   answers go out in the order of the requests, whatever each has to wait for;
//   records are appended in the order of the requests: a Produce is written by the reader ahead of
//   its answer only while everything before it is a Produce too;
//   a request's bytes are charged to the shard's in-flight budget as they arrive, never by the
//   length that it claims, and given back when its answer is sent.

#include <deque>
#include <memory>

#include "broker/runtime/node.h"
#include "broker/server/request.h"
#include "broker/server/shard.h"

namespace verdict::server {

class Connection {
 public:
  Connection(BrokerShard& shard, std::unique_ptr<runtime::Stream> stream,
             const BoundListener& listener);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  // Serves until the peer or the broker ends it.
  void run();

 private:
  // A request that was read and not answered. With neither stage nor handler it is the one that
  // ends the connection.
  struct Pending {
    std::unique_ptr<Request> request;
    std::unique_ptr<SecondStage> produce;  // of a Produce
    Handler handler = nullptr;             // of any other
    uint64_t charged = 0;

    bool ends() const { return produce == nullptr && handler == nullptr; }
  };
  // Answers that leave together.
  struct Outgoing {
    base::Slices frames;
    size_t requests = 0;  // from the front of pending_
    size_t replies = 0;   // of them, those that want an answer
    bool goes_on = true;  // the connection does not end behind them
  };

  void read_requests();
  void write_answers();
  // The answer to the first pending request, and those behind it for which nobody has to wait.
  Outgoing make_answers();
  Answer answer_to(Pending& next);
  bool send(const Outgoing& outgoing);
  // One frame without its length; nothing when the connection is to end.
  std::optional<base::Slices> read_frame();
  // At least one more byte into buffered_. False when the connection is to end.
  bool read_more(size_t wanted);
  bool charge(uint64_t bytes);
  // False when the connection is to end.
  bool take(base::Slices frame);
  bool take_produce(std::unique_ptr<Request> request, uint64_t charged);
  void push(Pending pending);
  void refuse(const char* event, std::string why);
  void end();

  BrokerShard& shard_;
  runtime::Node& node_;
  std::unique_ptr<runtime::Stream> stream_;
  BoundListener listener_;
  runtime::Event closing_;  // nothing more is read
  Caller caller_;
  base::Slices buffered_;  // arrived, not yet part of a request
  uint64_t buffered_charge_ = 0;
  std::deque<Pending> pending_;
  size_t pending_others_ = 0;  // of them, those that are no Produce
  size_t in_flight_max_;
  bool broken_ = false;      // the writer has given up
  runtime::Instant active_;  // when bytes last came or an answer went
  runtime::WaitQueue pending_changed_;
};

}  // namespace verdict::server
