#include "broker/client/producer.h"

#include "broker/base/check.h"
#include "broker/client/producer_core.h"

namespace verdict::client {

Producer::Producer(runtime::Node& node, ProducerOptions options)
    : core_(std::make_unique<ProducerCore>(node, std::move(options))) {}

Producer::~Producer() = default;

base::Result<runtime::Future<Delivery>> Producer::send(Outgoing record, runtime::Instant deadline) {
  return core_->send(std::move(record), deadline);
}

base::Result<> Producer::flush(runtime::Instant deadline) { return core_->flush(deadline); }

void Producer::stop() { core_->stop(); }

base::ProducerId Producer::producer_id() const { return core_->identity().id; }

int16_t Producer::producer_epoch() const { return core_->identity().epoch; }

const std::vector<Producer::Identity>& Producer::identities() const { return core_->identities(); }

size_t Producer::buffered_bytes() const { return core_->buffered_bytes(); }

}  // namespace verdict::client
