#include "broker/io/offload_pool.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "broker/base/check.h"
#include "broker/io/system_error.h"
#include "broker/runtime/wait.h"

namespace verdict::io {
namespace {

// Enough for getaddrinfo and its plug-ins.
constexpr size_t kThreadStackBytes = 512 * 1024;

}  // namespace

struct OffloadPool::Job {
  Work work;
  // Below: for the loop's thread alone.
  runtime::WaitQueue* waiter = nullptr;
  bool finished = false;
};

struct OffloadPool::Shared {
  std::mutex mutex;
  std::condition_variable has_work;
  std::condition_variable is_idle;
  std::deque<std::shared_ptr<Job>> queue;
  std::vector<std::shared_ptr<Job>> done;
  size_t idle_threads = 0;
  size_t running = 0;
  bool stopping = false;
  Descriptor wake_loop;  // eventfd
};

base::Result<std::unique_ptr<OffloadPool>> OffloadPool::create(Poller& poller, int threads,
                                                               AtEnd at_end) {
  CHECK(threads > 0);
  CHECK(threads <= kThreadsMax);
  auto shared = std::make_shared<Shared>();
  shared->wake_loop = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!shared->wake_loop.valid()) return std::unexpected(socket_error(errno, "eventfd", ""));
  std::unique_ptr<OffloadPool> pool(new OffloadPool(std::move(shared), threads, at_end));
  TRY(poller.add(pool->shared_->wake_loop.get(), *pool));
  return pool;
}

OffloadPool::OffloadPool(std::shared_ptr<Shared> shared, int threads, AtEnd at_end)
    : shared_(std::move(shared)), threads_max_(static_cast<size_t>(threads)), at_end_(at_end) {}

OffloadPool::~OffloadPool() {
  std::deque<std::shared_ptr<Job>> dropped;
  {
    std::lock_guard lock(shared_->mutex);
    shared_->stopping = true;
    dropped.swap(shared_->queue);
  }
  shared_->has_work.notify_all();
  for (pthread_t thread : threads_) {
    CHECK((at_end_ == AtEnd::join ? pthread_join(thread, nullptr) : pthread_detach(thread)) == 0);
  }
}

void* OffloadPool::thread_main(void* argument) {
  std::unique_ptr<std::shared_ptr<Shared>> owner(static_cast<std::shared_ptr<Shared>*>(argument));
  Shared& shared = **owner;
  std::unique_lock lock(shared.mutex);
  for (;;) {
    ++shared.idle_threads;
    shared.has_work.wait(lock, [&] { return shared.stopping || !shared.queue.empty(); });
    --shared.idle_threads;
    if (shared.queue.empty()) return nullptr;  // stopping
    std::shared_ptr<Job> job = std::move(shared.queue.front());
    shared.queue.pop_front();
    ++shared.running;
    lock.unlock();
    job->work();
    lock.lock();
    --shared.running;
    const bool first = shared.done.empty();
    // From here on the job belongs to the loop's thread, which also destroys what `work` holds.
    shared.done.push_back(std::move(job));
    if (shared.running == 0) shared.is_idle.notify_all();
    if (!first) continue;
    // Nobody reads the count: every write raises an event of its own, because events are edges.
    CHECK(eventfd_write(shared.wake_loop.get(), 1) == 0);
  }
}

// The thread takes no signals: they belong to the thread that runs the loop.
bool OffloadPool::start_thread() {
  CHECK(threads_.size() < threads_max_);
  pthread_attr_t attributes;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setstacksize(&attributes, kThreadStackBytes) == 0);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
  auto argument = std::make_unique<std::shared_ptr<Shared>>(shared_);
  pthread_t thread{};
  const bool started =
      pthread_create(&thread, &attributes, &OffloadPool::thread_main, argument.get()) == 0;
  CHECK(pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
  pthread_attr_destroy(&attributes);
  if (!started) return false;
  (void)argument.release();  // the thread's now
  threads_.push_back(thread);
  return true;
}

void OffloadPool::submit(std::shared_ptr<Job> job) {
  ++pending_;
  bool want_thread = false;
  {
    std::lock_guard lock(shared_->mutex);
    shared_->queue.push_back(job);
    want_thread = shared_->idle_threads < shared_->queue.size();
  }
  shared_->has_work.notify_one();
  if (!want_thread || threads_.size() == threads_max_ || start_thread()) return;
  if (!threads_.empty()) return;
  // This machine gives no thread at all: slow, but right.
  std::lock_guard lock(shared_->mutex);
  CHECK(shared_->queue.size() == 1);
  shared_->queue.clear();
  job->work();
  finish(*job);
}

void OffloadPool::finish(Job& job) {
  CHECK(!job.finished);
  CHECK(pending_ > 0);
  --pending_;
  job.finished = true;
  if (job.waiter != nullptr) job.waiter->notify_all();
}

void OffloadPool::on_events(uint32_t) {
  std::vector<std::shared_ptr<Job>> done;
  {
    std::lock_guard lock(shared_->mutex);
    done.swap(shared_->done);
  }
  for (const std::shared_ptr<Job>& job : done) finish(*job);
}

void OffloadPool::run(runtime::Tasks& tasks, Work work) {
  auto job = std::make_shared<Job>(std::move(work));
  submit(job);
  if (job->finished) return;
  runtime::WaitQueue ended(tasks);
  struct Leave {
    Job& job;
    ~Leave() { job.waiter = nullptr; }
  } leave{*job};
  job->waiter = &ended;
  while (!job->finished) ended.wait_uncancellable();
}

runtime::Wake OffloadPool::run_until(runtime::Tasks& tasks, Work work, runtime::Instant deadline) {
  auto job = std::make_shared<Job>(std::move(work));
  submit(job);
  runtime::WaitQueue ended(tasks);
  struct Leave {
    Job& job;
    ~Leave() { job.waiter = nullptr; }
  } leave{*job};
  job->waiter = &ended;
  while (!job->finished) {
    runtime::Wake wake = ended.wait(deadline);
    if (wake != runtime::Wake::notified && !job->finished) return wake;
  }
  return runtime::Wake::notified;
}

void OffloadPool::start(Work work) { submit(std::make_shared<Job>(std::move(work))); }

void OffloadPool::quiesce() {
  std::deque<std::shared_ptr<Job>> dropped;
  std::vector<std::shared_ptr<Job>> done;
  {
    std::unique_lock lock(shared_->mutex);
    dropped.swap(shared_->queue);
    shared_->is_idle.wait(lock, [&] { return shared_->running == 0; });
    done.swap(shared_->done);
  }
  CHECK(pending_ == dropped.size() + done.size());
  pending_ = 0;
}

}  // namespace verdict::io
