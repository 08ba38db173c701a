#include "broker/meta/image.h"

#include <algorithm>

#include "broker/base/check.h"

namespace verdict::meta {

const Endpoint* BrokerRegistration::listener(std::string_view name) const {
  const auto at = std::ranges::find(listeners, name, &Endpoint::name);
  return at == listeners.end() ? nullptr : &*at;
}

const TopicState* MetadataImage::topic(std::string_view name) const {
  const Uuid* id = topic_names_.find(name);
  if (id == nullptr) return nullptr;
  const TopicState* topic = topics_.find(*id);
  CHECK(topic != nullptr);
  return topic;
}

const PartitionState* MetadataImage::partition(const Uuid& topic, int32_t partition) const {
  const TopicState* found = topics_.find(topic);
  return found == nullptr ? nullptr : found->partitions.find(partition);
}

const std::string* MetadataImage::colliding_topic(std::string_view name) const {
  std::string key(name);
  std::ranges::replace(key, '.', '_');
  const std::vector<std::string>* names = collisions_.find(key);
  return names == nullptr ? nullptr : &names->front();
}

const ConfigMap& MetadataImage::configs(const ConfigResource& resource) const {
  static const ConfigMap kNone;
  const ConfigMap* found = configs_.find(resource);
  return found == nullptr ? kNone : *found;
}

const ConfigMap& MetadataImage::topic_configs(std::string_view topic) const {
  return configs({ResourceType::topic, std::string(topic)});
}

void MetadataImage::pass(Offset at) {
  CHECK(at > offset_);
  offset_ = at;
}

void MetadataImage::check_invariants() const {
  CHECK(topics_.size() == topic_names_.size());
  size_t partitions = 0;
  for (const auto& [id, topic] : topics_) {
    CHECK(topic.id == id);
    const Uuid* by_name = topic_names_.find(topic.name);
    CHECK(by_name != nullptr && *by_name == id);
    partitions += topic.partitions.size();
    for (const auto& [number, state] : topic.partitions) {
      CHECK(number >= 0);
      CHECK(state.leader_epoch.value >= 0 && state.partition_epoch >= 0);
    }
  }
  CHECK(partitions == partition_count_);
  CHECK(next_producer_id_ >= 0);
}

}  // namespace verdict::meta
