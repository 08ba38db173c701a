// Creating and deleting topics.

#include <functional>

#include "broker/base/check.h"
#include "broker/meta/controller_state.h"
#include "broker/meta/probes.h"
#include "broker/meta/records.h"
#include "broker/meta/topic_rules.h"
#include "broker/wire/metadata_records.h"

namespace verdict::meta {
namespace {

ApiError storage_error(const base::Error& error) {
  return error_of(Code::kafka_storage_error, error.detail);
}

// The one log directory of a broker; with several it chooses itself.
Uuid directory_of(const MetadataImage& image, int32_t broker) {
  const BrokerRegistration* found = image.broker(NodeId{broker});
  if (found == nullptr || found->directories.size() != 1) return {};
  return found->directories.front();
}

// Kafka's order: the topic, its configs, its partitions.
RecordValues records_of(const MetadataImage& image, const NewTopic& topic, const Uuid& id,
                        const ConfigMap& configs, const Placement& placement) {
  RecordValues values;
  wire::TopicRecord record;
  record.name = topic.name;
  record.topic_id = id;
  values.push_back(frame(record));
  for (const auto& [name, value] : configs) {
    wire::ConfigRecord config;
    config.resource_type = static_cast<int8_t>(ResourceType::topic);
    config.resource_name = topic.name;
    config.name = name;
    config.value = value;
    values.push_back(frame(config));
  }
  for (size_t i = 0; i < placement.size(); ++i) {
    wire::PartitionRecord partition;
    partition.partition_id = static_cast<int32_t>(i);
    partition.topic_id = id;
    partition.replicas = placement[i];
    partition.isr = active(image, placement[i]);
    CHECK(!partition.isr.empty());
    partition.leader = partition.isr.front();
    partition.leader_epoch = 0;
    partition.partition_epoch = 0;
    for (const int32_t replica : placement[i]) {
      partition.directories.push_back(directory_of(image, replica));
    }
    values.push_back(frame(partition));
  }
  return values;
}

ApiError check_new_name(const MetadataImage& image, const std::string& name) {
  if (name == kMetadataTopic) {
    return error_of(Code::topic_authorization_failed,
                    "Creation of internal topic " + name + " is prohibited.");
  }
  if (ApiError bad = check_topic_name(name); !bad.ok()) return bad;
  if (image.topic(name) != nullptr) {
    return error_of(Code::topic_already_exists, "Topic '" + name + "' already exists.");
  }
  if (const std::string* other = image.colliding_topic(name); other != nullptr) {
    return error_of(Code::invalid_topic_exception,
                    "Topic '" + name + "' collides with existing topic: " + *other);
  }
  return {};
}

// '.' and '_' are one letter in the names of metrics.
std::string folded(std::string name) {
  for (char& c : name) {
    if (c == '.') c = '_';
  }
  return name;
}

// Commits groups of records, each group whole in one commit, as few commits as the limits allow.
class Grouping {
 public:
  explicit Grouping(Controller::State& state) : state_(state) {}

  // `on_error` is called when the commit with this group fails. Records of at most one commit.
  void add(RecordValues values, std::function<void(const base::Error&)> on_error) {
    size_t bytes = 0;
    for (const base::Slice& value : values) bytes += value.size() + kRecordOverheadBytes;
    if (!values_.empty() && (values_.size() + values.size() > kRecordsPerCommitMax ||
                             bytes_ + bytes > kCommitBytesMax)) {
      flush();
    }
    bytes_ += bytes;
    for (base::Slice& value : values) values_.push_back(std::move(value));
    on_error_.push_back(std::move(on_error));
  }
  void flush() {
    if (values_.empty()) return;
    if (auto committed = state_.commit(values_); !committed) {
      for (const auto& on_error : on_error_) on_error(committed.error());
    }
    values_.clear();
    on_error_.clear();
    bytes_ = 0;
  }

 private:
  // A record's lengths, deltas and empty header list in its batch, at most.
  static constexpr size_t kRecordOverheadBytes = 32;

  Controller::State& state_;
  RecordValues values_;
  std::vector<std::function<void(const base::Error&)>> on_error_;
  size_t bytes_ = 0;
};

// One CreateTopics request. Under the log's mutex.
class Creation {
 public:
  Creation(Controller::State& state, const std::vector<NewTopic>& topics, bool validate_only)
      : state_(state),
        topics_(topics),
        validate_only_(validate_only),
        image_(state.log->image()),
        grouping_(state) {
    rules_.partitions_standard =
        static_cast<int32_t>(state.setting("num.partitions", 1, kPartitionsPerRequestMax));
    rules_.replication_factor_standard =
        static_cast<int16_t>(state.setting("default.replication.factor", 1, INT16_MAX));
  }

  std::vector<CreatedTopic> run() {
    const ApiError for_all = judge_request();
    base::OrderedMap<std::string, size_t> times;
    for (const NewTopic& topic : topics_) ++times[topic.name];
    // Commits refer to answers by place.
    answers_.reserve(topics_.size());
    for (const NewTopic& topic : topics_) {
      size_t& count = times[topic.name];
      if (count == 0) continue;  // named twice and answered
      CreatedTopic& answer = answers_.emplace_back();
      answer.name = topic.name;
      answer.error = for_all;
      if (for_all.ok() && count > 1) {
        answer.error = error_of(Code::invalid_request, "Duplicate topic name.");
      }
      count = 0;
      if (answer.error.ok()) create(topic, answer);
      if (!answer.error.ok()) state_.node.observer.reached(kProbeTopicRefused);
    }
    grouping_.flush();
    return std::move(answers_);
  }

 private:
  ApiError judge_request() const {
    if (state_.log->offline()) return storage_error(*state_.log->offline());
    if (partitions_asked(topics_, rules_.partitions_standard) > kPartitionsPerRequestMax) {
      return error_of(Code::policy_violation,
                      "Excessively large number of partitions per request.");
    }
    return {};
  }

  ApiError judge_name(const std::string& name) {
    if (ApiError bad = check_new_name(*image_, name); !bad.ok()) return bad;
    const auto [at, fresh] = names_.emplace(folded(name), name);
    if (fresh) return {};
    return error_of(Code::invalid_topic_exception,
                    "Topic '" + name + "' collides with existing topic: " + at->second);
  }

  void create(const NewTopic& topic, CreatedTopic& answer) {
    answer.error = judge_name(topic.name);
    if (!answer.error.ok()) return;
    ConfigResult configs = configs_of(topic);
    answer.error = std::move(configs.error);
    if (!answer.error.ok()) return;
    if (image_->brokers().size() > 1) rules_.first_broker = state_.node.random.next("meta.place");
    PlacementResult placed = place(*image_, topic, rules_);
    answer.error = std::move(placed.error);
    if (!answer.error.ok()) return;
    CHECK(!placed.placement.empty());
    answer.partitions = static_cast<int32_t>(placed.placement.size());
    answer.replication_factor = static_cast<int16_t>(placed.placement.front().size());
    answer.configs = describe_topic_configs(state_.scope(*image_), configs.configs);
    if (validate_only_) return;
    answer.id = state_.new_id("meta.topic_id");
    const size_t place_of_answer = answers_.size() - 1;
    grouping_.add(records_of(*image_, topic, answer.id, configs.configs, placed.placement),
                  [this, place_of_answer](const base::Error& error) {
                    CreatedTopic failed;
                    failed.name = answers_[place_of_answer].name;
                    failed.error = storage_error(error);
                    answers_[place_of_answer] = std::move(failed);
                  });
  }

  Controller::State& state_;
  const std::vector<NewTopic>& topics_;
  bool validate_only_;
  ImagePointer image_;
  PlacementRules rules_;
  base::OrderedMap<std::string, std::string> names_;  // accepted ones, by the folded name
  std::vector<CreatedTopic> answers_;
  Grouping grouping_;
};

// Finds the topic that `key` names; error when it cannot be deleted.
DeletedTopic find_topic(const MetadataImage& image, const TopicKey& key) {
  DeletedTopic answer;
  answer.name = key.name;
  answer.id = key.id;
  if (key.name && !key.id.is_zero()) {
    answer.error =
        error_of(Code::invalid_request, "You may not specify both topic name and topic id.");
  } else if (key.name) {
    const TopicState* topic = image.topic(*key.name);
    if (topic != nullptr) answer.id = topic->id;
    if (topic == nullptr) {
      answer.error = error_of(Code::unknown_topic_or_partition,
                              "This server does not host this topic-partition.");
    }
  } else if (!key.id.is_zero()) {
    const TopicState* topic = image.topic(key.id);
    if (topic != nullptr) answer.name = topic->name;
    if (topic == nullptr) {
      answer.error = error_of(Code::unknown_topic_id, "This server does not host this topic ID.");
    }
  } else {
    answer.error =
        error_of(Code::invalid_request, "Neither topic name nor topic id were specified.");
  }
  return answer;
}

}  // namespace

std::vector<CreatedTopic> Controller::create_topics(const std::vector<NewTopic>& topics,
                                                    bool validate_only) {
  check_shard();
  const runtime::LockGuard lock(state_->log->mutex());
  return Creation(*state_, topics, validate_only).run();
}

std::vector<DeletedTopic> Controller::delete_topics(const std::vector<TopicKey>& topics) {
  check_shard();
  const runtime::LockGuard lock(state_->log->mutex());
  const ImagePointer image = state_->log->image();
  const bool enabled = state_->enabled("delete.topic.enable");
  std::vector<DeletedTopic> answers;
  base::OrderedMap<Uuid, size_t> times;
  for (const TopicKey& key : topics) {
    DeletedTopic& answer = answers.emplace_back(find_topic(*image, key));
    if (state_->log->offline()) answer.error = storage_error(*state_->log->offline());
    if (!enabled) {
      answer.error = error_of(Code::topic_deletion_disabled, "Topic deletion is disabled.");
    }
    if (answer.error.ok()) ++times[answer.id];
  }
  Grouping grouping(*state_);
  for (size_t i = 0; i < answers.size(); ++i) {
    DeletedTopic& answer = answers[i];
    if (!answer.error.ok()) continue;
    if (times[answer.id] > 1) {
      answer.error = error_of(Code::invalid_request,
                              topics[i].name ? "Duplicate topic name." : "Duplicate topic id.");
      continue;
    }
    wire::RemoveTopicRecord record;
    record.topic_id = answer.id;
    grouping.add({frame(record)}, [&answers, i](const base::Error& error) {
      answers[i].error = storage_error(error);
    });
    state_->node.observer.reached(kProbeTopicDeleted);
  }
  grouping.flush();
  return answers;
}

}  // namespace verdict::meta
