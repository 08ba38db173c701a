#include "broker/io/loop.h"

#include <malloc.h>

#include "broker/base/check.h"
#include "broker/base/hash.h"
#include "broker/io/clock.h"
#include "broker/io/directory.h"
#include "broker/io/log_sink.h"
#include "broker/io/network.h"
#include "broker/io/offload_pool.h"
#include "broker/io/poller.h"
#include "broker/io/random.h"
#include "broker/io/resolver.h"
#include "broker/io/shard_scheduler.h"
#include "broker/io/signals.h"

namespace verdict::io {
namespace {

using base::Errc;
using base::Result;
using runtime::Node;

// Between two looks at sockets and timers.
constexpr size_t kFibersPerTurn = 64;
constexpr std::string_view kNodeName = "node";
// Buffers up to this size come from the heap, and this much of it is kept when they are free.
// Otherwise the allocator gives pages back and faults them in again with every large request.
constexpr int kHeapBufferBytesMax = 4 << 20;
constexpr int kHeapKeptBytes = 32 << 20;

// An allocator that knows no such settings, a sanitizer's for one, may refuse them.
void keep_freed_memory() {
#if defined(__GLIBC__)
  (void)mallopt(M_MMAP_THRESHOLD, kHeapBufferBytesMax);
  (void)mallopt(M_TRIM_THRESHOLD, kHeapKeptBytes);
#endif
}

Result<> check_options(const Options& options) {
  if (options.data_directory.empty()) return base::fail(Errc::invalid, "no data directory given");
  if (options.shards != 1) {
    return base::fail(Errc::invalid, "shards: " + std::to_string(options.shards) +
                                         " asked for, this backend runs exactly 1");
  }
  if (options.offload_threads < 1 || options.offload_threads > OffloadPool::kThreadsMax) {
    return base::fail(Errc::invalid, "offload threads: " + std::to_string(options.offload_threads) +
                                         " asked for, possible are 1 to " +
                                         std::to_string(OffloadPool::kThreadsMax));
  }
  return {};
}

}  // namespace

// Members die in reverse order: fibers' objects first, what they use after them.
class Loop::Impl {
 public:
  explicit Impl(Options options)
      : options_(std::move(options)), log_(options_.log_level, options_.log_to_stderr) {}
  ~Impl() {
    if (parts_) kill();
  }

  Result<> open();
  void run(base::UniqueFunction<void(Node&)> main);
  void kill();
  void request_stop() { stop_request_->request(); }

 private:
  // What fibers run on.
  struct Parts {
    Parts(Poller& poller, OffloadPool& pool, Resolver& resolver, Descriptor root,
          const std::string& root_name)
        : scheduler(pool),
          tasks(scheduler, base::ShardId{0}, 1, base::hash_text(kNodeName)),
          clock(tasks),
          network(tasks, poller, resolver),
          data(tasks, pool, std::move(root), root_name),
          stop(tasks) {}
    ShardScheduler scheduler;
    runtime::Tasks tasks;
    LoopClock clock;
    TcpNetwork network;
    DiskDirectory data;
    runtime::Event stop;
  };
  void turn();
  void end_node();

  Options options_;
  LogSink log_;
  SystemRandom random_;
  std::optional<Poller> poller_;
  std::unique_ptr<StopRequest> stop_request_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<OffloadPool> pool_;
  std::optional<Parts> parts_;
};

Result<> Loop::Impl::open() {
  ignore_sigpipe();
  keep_freed_memory();
  poller_ = TRY(Poller::create());
  // Before any thread is started, so that none of them takes a signal.
  stop_request_ =
      TRY(StopRequest::create(*poller_, options_.handle_signals, [this] { parts_->stop.set(); }));
  resolver_ = TRY(Resolver::create(*poller_));
  pool_ = TRY(OffloadPool::create(*poller_, options_.offload_threads, OffloadPool::AtEnd::join));
  Descriptor root = TRY(DiskDirectory::open_root(options_.data_directory, options_.data_is_ours));
  parts_.emplace(*poller_, *pool_, *resolver_, std::move(root), options_.data_directory);
  return {};
}

void Loop::Impl::run(base::UniqueFunction<void(Node&)> main) {
  Parts& parts = *parts_;
  CHECK(parts.scheduler.current() == nullptr);
  CHECK(parts.tasks.root() == nullptr);
  Node node{
      parts.clock,      random_, parts.network,  parts.data,
      parts.tasks,      log_,    options_.knobs, parts.stop,
#if VERDICT_EXHIBITS
      options_.exhibit,
#endif
  };
  parts.scheduler.spawn_root(parts.tasks, "main",
                             [&node, main = std::move(main)]() mutable { main(node); });
  while (parts.tasks.root() != nullptr) turn();
  CHECK(parts.scheduler.live_fibers() == 0);
  parts.stop.reset();
}

void Loop::Impl::turn() {
  Parts& parts = *parts_;
  parts.scheduler.run_ready(kFibersPerTurn);
  if (parts.scheduler.kill_asked()) {
    end_node();
    return;
  }
  if (parts.tasks.root() == nullptr) return;
  if (parts.scheduler.has_ready()) {
    poller_->poll(0, 0);
  } else {
    poller_->poll(monotonic_ns(), parts.scheduler.next_timer_at());
  }
  parts.scheduler.run_timers();
}

// Work on the pool may use the stacks of fibers that wait for it, so it has to end first.
void Loop::Impl::end_node() {
  pool_->quiesce();
  parts_->scheduler.kill_node(parts_->tasks);
}

void Loop::Impl::kill() {
  if (parts_->scheduler.current() != nullptr) parts_->scheduler.ask_for_kill();
  if (parts_->tasks.root() != nullptr) end_node();
}

// ---------------------------------------------------------------- Loop

Result<std::unique_ptr<Loop>> Loop::create(Options options) {
  TRY(check_options(options));
  auto impl = std::make_unique<Impl>(std::move(options));
  TRY(impl->open());
  return std::unique_ptr<Loop>(new Loop(std::move(impl)));
}

Loop::Loop(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Loop::~Loop() = default;

void Loop::run(base::UniqueFunction<void(Node&)> main) { impl_->run(std::move(main)); }
void Loop::kill() { impl_->kill(); }
void Loop::request_stop() { impl_->request_stop(); }

}  // namespace verdict::io
