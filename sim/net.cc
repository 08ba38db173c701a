#include "sim/net.h"

#include "sim/net_core.h"
#include "sim/net_stream.h"

namespace verdict::sim {

NetEffects& NetEffects::operator+=(const NetEffects& other) {
  bytes_held += other.bytes_held;
  acks_held += other.acks_held;
  connects_held += other.connects_held;
  timeouts += other.timeouts;
  connects_hung += other.connects_hung;
  connects_refused += other.connects_refused;
  accept_overflows += other.accept_overflows;
  resets_hit_open += other.resets_hit_open;
  sides_forgotten += other.sides_forgotten;
  short_reads += other.short_reads;
  bytes_delayed += other.bytes_delayed;
  accepts_exhausted += other.accepts_exhausted;
  return *this;
}

Net::Net(Kernel& kernel, NetOptions options) : core_(std::make_unique<NetCore>(kernel, options)) {}
Net::~Net() = default;

void Net::register_node(KernelNode& node, std::string_view name) { core_->add_host(node, name); }

std::string Net::address(const KernelNode& node) const { return core_->host(node).address; }

std::unique_ptr<runtime::Network> Net::attach(KernelNode& node, runtime::Tasks& tasks) {
  CHECK(core_->host(node).powered);
  return std::make_unique<NodeNetwork>(*core_, core_->host(node), tasks);
}

void Net::process_ended(KernelNode& node) { core_->process_ended(core_->host(node)); }
void Net::power_lost(KernelNode& node) { core_->power_lost(core_->host(node)); }
void Net::power_back(KernelNode& node) { core_->power_back(core_->host(node)); }

void Net::cut(KernelNode& from, KernelNode& to) { core_->cut(core_->host(from), core_->host(to)); }

void Net::heal(KernelNode& from, KernelNode& to) {
  core_->heal(core_->host(from), core_->host(to));
}

bool Net::is_cut(const KernelNode& from, const KernelNode& to) const {
  return core_->link(core_->host(from), core_->host(to)).cut;
}

void Net::slow_link(KernelNode& from, KernelNode& to, SlowLink slow) {
  core_->slow_link(core_->host(from), core_->host(to), slow);
}

size_t Net::reset_connections(KernelNode& a, KernelNode* b) {
  return core_->reset_connections(core_->host(a), b == nullptr ? nullptr : &core_->host(*b));
}

size_t Net::half_open(KernelNode& a, KernelNode* b) {
  return core_->half_open(core_->host(a), b == nullptr ? nullptr : &core_->host(*b));
}

void Net::refuse_connects(KernelNode& node, bool on) { core_->host(node).refuses = on; }
void Net::hang_connects(KernelNode& node, bool on) { core_->host(node).hangs = on; }

void Net::limit_backlog(KernelNode& node, uint32_t limit) {
  core_->host(node).backlog_limit = limit;
}

void Net::limit_descriptors(KernelNode& node, uint32_t limit) {
  core_->host(node).descriptor_limit = limit;
}

void Net::set_short_reads(KernelNode& node, uint64_t permille) {
  tcp::Host& host = core_->host(node);
  host.short_reads_forced = permille != kShortReadsAsOptions;
  host.short_read_permille =
      host.short_reads_forced ? permille : core_->options().short_read_permille;
  CHECK(host.short_read_permille <= 1000);
}

NetEffects Net::effects() const {
  NetEffects total;
  for (const auto& host : core_->hosts()) {
    if (host == nullptr) continue;
    for (const auto& link : host->links) {
      if (link != nullptr) total += link->effects;
    }
  }
  return total;
}

NetEffects Net::effects(const KernelNode& from, const KernelNode& to) const {
  return core_->link(core_->host(from), core_->host(to)).effects;
}

size_t Net::open_connections() const { return core_->open_connections(nullptr, nullptr); }

size_t Net::open_connections(const KernelNode& a, const KernelNode& b) const {
  return core_->open_connections(&core_->host(a), &core_->host(b));
}

uint64_t Net::bytes_on_the_way() const { return core_->bytes_on_the_way(); }

}  // namespace verdict::sim
