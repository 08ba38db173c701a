#include "broker/io/resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "broker/base/check.h"
#include "broker/io/socket_address.h"
#include "broker/runtime/wait.h"

namespace verdict::io {
namespace {

using base::Errc;
using base::Result;

constexpr int kThreads = 2;
constexpr std::string_view kThisMachine = "localhost";

// Shared by the thread that asks and the fiber that waits, whichever stays longer.
struct Question {
  std::string host;
  int status = 0;
  std::vector<std::string> addresses;
};

void ask(Question& question) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  question.status = getaddrinfo(question.host.c_str(), nullptr, &hints, &found);
  if (question.status != 0 && question.host == kThisMachine) {
    // A machine without a hosts file does not know it, and it has only one meaning (RFC 6761 6.3).
    question.status = 0;
    question.addresses.emplace_back("127.0.0.1");
    return;
  }
  if (question.status != 0) return;
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    SocketAddress address;
    CHECK(at->ai_addrlen <= sizeof address.storage);
    std::memcpy(&address.storage, at->ai_addr, at->ai_addrlen);
    std::string text = address.endpoint().host;
    auto& known = question.addresses;
    if (text.empty() || std::find(known.begin(), known.end(), text) != known.end()) continue;
    known.push_back(std::move(text));
  }
}

}  // namespace

Result<std::unique_ptr<Resolver>> Resolver::create(Poller& poller) {
  std::unique_ptr<OffloadPool> pool =
      TRY(OffloadPool::create(poller, kThreads, OffloadPool::AtEnd::abandon));
  return std::unique_ptr<Resolver>(new Resolver(std::move(pool)));
}

Result<std::vector<std::string>> Resolver::resolve(runtime::Tasks& tasks, const std::string& host,
                                                   runtime::Instant deadline) {
  if (host.empty()) return base::fail(Errc::invalid, "resolve: empty host name");
  if (pool_->pending() >= kQuestionsMax) {
    return base::fail(Errc::exhausted, "resolve " + host + ": too many names are being resolved");
  }
  auto question = std::make_shared<Question>(host);
  runtime::Wake wake = pool_->run_until(tasks, [question] { ask(*question); }, deadline);
  if (wake != runtime::Wake::notified) {
    return std::unexpected(runtime::to_result(wake, "resolve").error());
  }
  if (question->status == EAI_AGAIN) {
    return base::fail(Errc::timed_out, "resolve " + host + ": " + gai_strerror(EAI_AGAIN));
  }
  if (question->status != 0 || question->addresses.empty()) {
    return base::fail(Errc::not_found, "resolve " + host + ": " + gai_strerror(question->status));
  }
  return std::move(question->addresses);
}

}  // namespace verdict::io
