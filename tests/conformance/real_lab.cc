// The real backend as a lab: sockets of the loopback device, files of a temporary directory.

#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "broker/io/loop.h"
#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

int64_t now_ns() {
  timespec t{};
  CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

class RealLab final : public Lab {
 public:
  RealLab() {
    std::string name = std::filesystem::temp_directory_path() / "verdict-conformance-XXXXXX";
    CHECK(::mkdtemp(name.data()) != nullptr);
    directory_ = name;
    io::Options options;
    options.data_directory = name + "/data";
    options.log_to_stderr = false;
    loop_ = must(io::Loop::create(std::move(options)));
  }
  ~RealLab() override {
    loop_.reset();
    std::filesystem::remove_all(directory_);
  }

  void run(Body body) override {
    loop_->run([this, body = std::move(body)](runtime::Node& node) mutable {
      node_ = &node;
      body(node);
    });
    node_ = nullptr;
  }
  void run_pair(Body server, Body client) override {
    run([server = std::move(server), client = std::move(client)](runtime::Node& node) mutable {
      runtime::Nursery nursery(node.tasks);
      nursery.spawn("server", [&] { server(node); });
      nursery.spawn("client", [&] { client(node); });
      nursery.join_all(kNever);
    });
  }
  void kill() override {
    loop_->kill();
    CHECK(false);  // it does not return into a fiber of its node
    std::abort();
  }
  void request_stop() override { loop_->request_stop(); }
  void occupy(runtime::Node&, runtime::Duration length) override {
    int64_t end = now_ns() + length.ns;
    while (now_ns() < end) {
    }
  }
  runtime::Node& node(base::ShardId shard) override {
    CHECK(shard.value == 0);
    CHECK(node_ != nullptr);
    return *node_;
  }
  uint32_t shards() const override { return 1; }
  std::string host() const override { return "127.0.0.1"; }

 private:
  std::filesystem::path directory_;
  std::unique_ptr<io::Loop> loop_;
  runtime::Node* node_ = nullptr;
};

}  // namespace

std::vector<LabKind> real_labs() {
  return {{"Real", 1, [] { return std::make_unique<RealLab>(); }}};
}

}  // namespace verdict::conformance
