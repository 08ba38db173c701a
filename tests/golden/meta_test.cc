// Kafka's own metadata logs, replayed: the image says what Kafka's dump tool and Kafka's snapshot
// of the same log say.

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "broker/meta/configs.h"
#include "broker/meta/image.h"
#include "broker/meta/metadata_log.h"
#include "broker/record/batch.h"
#include "broker/wire/control_records.h"

namespace verdict::meta {
namespace {

using Json = nlohmann::json;

constexpr const char* kFolder = "tests/golden/data/metadata/";
constexpr size_t kBatchBytesMax = 64U << 20;

std::string read_file(const std::string& name) {
  std::ifstream file(kFolder + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Replayed {
  MetadataImage image;
  uint64_t records = 0;
  std::vector<base::Slice> control_values;
};

// Applies the batches in `bytes` whose offsets are below `limit`.
Replayed replay(const std::string& bytes, int64_t limit = INT64_MAX) {
  Replayed result;
  const base::Slices all(base::Slice::copy_of(std::string_view(bytes)));
  for (size_t at = 0; at + record::kHeaderBytes <= all.size();) {
    const base::Slices rest = all.cut(at, all.size() - at);
    const record::BatchHeader header = record::read_header(rest.flatten().bytes());
    EXPECT_TRUE(record::check_header(header, kBatchBytesMax).has_value());
    if (header.base_offset >= limit) break;
    const base::Slices batch = rest.cut(0, header.total_bytes());
    EXPECT_EQ(record::batch_crc(batch), header.crc);
    auto records = record::read_records(header, batch, kBatchBytesMax);
    EXPECT_TRUE(records.has_value());
    if (!records) break;
    for (const record::Record& one : *records) {
      const Offset offset{header.base_offset + one.offset_delta};
      ++result.records;
      if (header.control()) {
        result.control_values.push_back(*one.value);
        result.image.pass(offset);
        continue;
      }
      const auto applied = result.image.apply(offset, *one.value);
      EXPECT_TRUE(applied.has_value()) << applied.error().to_string();
    }
    at += header.total_bytes();
  }
  result.image.check_invariants();
  return result;
}

// What the dump tool says of each record: type and data, in order.
std::vector<std::pair<std::string, Json>> dumped(const std::string& name) {
  std::vector<std::pair<std::string, Json>> records;
  std::ifstream file(kFolder + name);
  const std::string mark = "payload: ";
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find(mark);
    if (at == std::string::npos) continue;
    const Json payload = Json::parse(line.substr(at + mark.size()));
    records.emplace_back(payload["type"], payload["data"]);
  }
  return records;
}

// A second reading of the dump's texts: plain maps, in Kafka's own field names.
struct Model {
  std::map<std::string, std::string> topics;              // id by name
  std::map<std::string, std::map<int, Json>> partitions;  // by topic id
  std::map<std::pair<int, std::string>, std::map<std::string, std::string>> configs;
  std::map<std::string, int16_t> features;
  std::map<int, Json> brokers;
  std::map<int, Json> controllers;
  int64_t next_producer_id = 0;
  uint64_t not_built = 0;

  void remove_topic(const std::string& id) {
    for (auto at = topics.begin(); at != topics.end(); ++at) {
      if (at->second != id) continue;
      configs.erase({2, at->first});
      topics.erase(at);
      break;
    }
    partitions.erase(id);
  }
  void change_partition(const Json& data) {
    Json& partition = partitions.at(data["topicId"]).at(data["partitionId"]);
    for (const auto& [field, value] : data.items()) {
      if (field == "topicId" || field == "partitionId" || value.is_null()) continue;
      partition[field] = value;
      if (field == "leader") partition["leaderEpoch"] = partition["leaderEpoch"].get<int>() + 1;
    }
    partition["partitionEpoch"] = partition["partitionEpoch"].get<int>() + 1;
  }
  void clear_elr(const std::string& topic) {
    for (auto& [number, partition] : partitions.at(topics.at(topic))) {
      const Json elr = partition.value("eligibleLeaderReplicas", Json::array());
      const Json last = partition.value("lastKnownElr", Json::array());
      if (elr.empty() && last.empty()) continue;
      partition["eligibleLeaderReplicas"] = Json::array();
      partition["lastKnownElr"] = Json::array();
      partition["partitionEpoch"] = partition["partitionEpoch"].get<int>() + 1;
    }
  }
  void change_broker(const Json& data) {
    Json& broker = brokers.at(data["brokerId"]);
    EXPECT_EQ(broker["brokerEpoch"], data["brokerEpoch"]);
    if (data.contains("fenced")) broker["fenced"] = data["fenced"].get<int>() > 0;
    if (data.contains("inControlledShutdown")) broker["inControlledShutdown"] = true;
  }
  void add(const std::string& type, const Json& data) {
    if (type == "TOPIC_RECORD") {
      topics[data["name"]] = data["topicId"];
      partitions[data["topicId"]];
    } else if (type == "PARTITION_RECORD") {
      partitions.at(data["topicId"])[data["partitionId"]] = data;
    } else if (type == "PARTITION_CHANGE_RECORD") {
      change_partition(data);
    } else if (type == "REMOVE_TOPIC_RECORD") {
      remove_topic(data["topicId"]);
    } else if (type == "CONFIG_RECORD") {
      auto& resource = configs[{data["resourceType"], data["resourceName"]}];
      if (data["value"].is_null()) {
        resource.erase(data["name"].get<std::string>());
      } else {
        resource[data["name"]] = data["value"];
      }
    } else if (type == "FEATURE_LEVEL_RECORD") {
      features[data["name"]] = data["featureLevel"];
    } else if (type == "REGISTER_BROKER_RECORD") {
      brokers[data["brokerId"]] = data;
    } else if (type == "BROKER_REGISTRATION_CHANGE_RECORD") {
      change_broker(data);
    } else if (type == "REGISTER_CONTROLLER_RECORD") {
      controllers[data["controllerId"]] = data;
    } else if (type == "PRODUCER_IDS_RECORD") {
      next_producer_id = data["nextProducerId"];
    } else if (type == "CLEAR_ELR_RECORD") {
      clear_elr(data["topicName"]);
    } else if (type != "NO_OP_RECORD" && !type.ends_with("_TRANSACTION_RECORD")) {
      ++not_built;
    }
  }
};

Model model_of(const std::string& dump) {
  Model model;
  for (const auto& [type, data] : dumped(dump)) model.add(type, data);
  return model;
}

Json uuids(const std::vector<Uuid>& list) {
  Json result = Json::array();
  for (const Uuid& id : list) result.push_back(id.to_string());
  return result;
}

// A snapshot writes features in the order of a hash map.
Json by_name(Json list) {
  std::sort(list.begin(), list.end(),
            [](const Json& a, const Json& b) { return a["name"] < b["name"]; });
  return list;
}

template <class Registration>
void expect_endpoints_and_features(const Registration& ours, const Json& theirs) {
  Json endpoints = Json::array();
  for (const Endpoint& e : ours.listeners) {
    endpoints.push_back({{"name", e.name},
                         {"host", e.host},
                         {"port", e.port},
                         {"securityProtocol", e.security_protocol}});
  }
  EXPECT_EQ(endpoints, theirs["endPoints"]);
  Json features = Json::array();
  for (const FeatureRange& f : ours.features) {
    features.push_back(
        {{"name", f.name}, {"minSupportedVersion", f.min}, {"maxSupportedVersion", f.max}});
  }
  EXPECT_EQ(by_name(features), by_name(theirs["features"]));
  EXPECT_EQ(ours.incarnation.to_string(), theirs["incarnationId"].get<std::string>());
}

void expect_partition(const PartitionState& ours, const Json& theirs) {
  EXPECT_EQ(Json(ours.replicas), theirs["replicas"]);
  EXPECT_EQ(Json(ours.isr), theirs["isr"]);
  EXPECT_EQ(Json(ours.removing), theirs["removingReplicas"]);
  EXPECT_EQ(Json(ours.adding), theirs["addingReplicas"]);
  EXPECT_EQ(Json(ours.eligible_leaders), theirs.value("eligibleLeaderReplicas", Json::array()));
  EXPECT_EQ(Json(ours.last_known_eligible), theirs.value("lastKnownElr", Json::array()));
  EXPECT_EQ(uuids(ours.directories), theirs["directories"]);
  EXPECT_EQ(ours.leader.value, theirs["leader"].get<int>());
  EXPECT_EQ(ours.leader_epoch.value, theirs["leaderEpoch"].get<int>());
  EXPECT_EQ(ours.partition_epoch, theirs["partitionEpoch"].get<int>());
  EXPECT_EQ(ours.recovering, theirs.value("leaderRecoveryState", 0) == 1);
}

void expect_equal(const MetadataImage& image, const Model& model) {
  ASSERT_EQ(image.topics().size(), model.topics.size());
  for (const auto& [name, id] : model.topics) {
    SCOPED_TRACE(name);
    const TopicState* topic = image.topic(name);
    ASSERT_NE(topic, nullptr);
    EXPECT_EQ(topic->id.to_string(), id);
    const auto& partitions = model.partitions.at(id);
    ASSERT_EQ(topic->partitions.size(), partitions.size());
    for (const auto& [number, theirs] : partitions) {
      SCOPED_TRACE(number);
      const PartitionState* ours = topic->partitions.find(number);
      ASSERT_NE(ours, nullptr);
      expect_partition(*ours, theirs);
    }
  }
  for (const auto& [resource, theirs] : model.configs) {
    const ConfigMap& ours =
        image.configs({static_cast<ResourceType>(resource.first), resource.second});
    EXPECT_TRUE(std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end()))
        << resource.second;
  }
  EXPECT_TRUE(std::equal(image.features().begin(), image.features().end(), model.features.begin(),
                         model.features.end()));
  EXPECT_EQ(image.next_producer_id(), model.next_producer_id);
  EXPECT_EQ(image.skipped_records(), model.not_built);
  ASSERT_EQ(image.brokers().size(), model.brokers.size());
  for (const auto& [id, theirs] : model.brokers) {
    const BrokerRegistration* ours = image.broker(NodeId{id});
    ASSERT_NE(ours, nullptr);
    expect_endpoints_and_features(*ours, theirs);
    EXPECT_EQ(ours->epoch.value, theirs["brokerEpoch"].get<int64_t>());
    EXPECT_EQ(ours->fenced, theirs["fenced"].get<bool>());
    EXPECT_EQ(ours->in_controlled_shutdown, theirs["inControlledShutdown"].get<bool>());
    EXPECT_EQ(uuids(ours->directories), theirs["logDirs"]);
  }
  ASSERT_EQ(image.controllers().size(), model.controllers.size());
  for (const auto& [id, theirs] : model.controllers) {
    expect_endpoints_and_features(*image.controllers().find(id), theirs);
  }
}

TEST(MetaGolden, the_image_of_a_nodes_log_is_what_kafkas_dump_says) {
  const Replayed replayed = replay(read_file("single.log"));
  const Model model = model_of("single.txt");
  RecordProperty("records", static_cast<int>(replayed.records));
  EXPECT_GT(replayed.records, uint64_t{2000});
  EXPECT_EQ(replayed.image.topics().size(), size_t{84});
  EXPECT_EQ(replayed.image.next_producer_id(), 1000);
  EXPECT_EQ(replayed.image.skipped_records(), uint64_t{6});  // SCRAM credentials
  EXPECT_EQ(replayed.control_values.size(), size_t{2});
  expect_equal(replayed.image, model);
}

TEST(MetaGolden, the_image_of_a_clusters_log_is_what_kafkas_own_snapshot_says) {
  // Kafka wrote the snapshot from its own image at offset 1905: leader and partition epochs of
  // partitions that went through kills, elections and eligible-leader changes are in it.
  const Replayed from_log = replay(read_file("cluster.log"), 1905);
  EXPECT_EQ(from_log.image.offset(), Offset{1904});
  const Replayed from_snapshot = replay(read_file("cluster-1905.checkpoint"));
  EXPECT_EQ(from_log.image.partition_count(), size_t{134});
  expect_equal(from_log.image, model_of("cluster-1905.txt"));
  expect_equal(from_snapshot.image, model_of("cluster-1905.txt"));
}

TEST(MetaGolden, the_comparison_notices_one_wrong_epoch_one_wrong_replica_and_one_lost_config) {
  const Replayed replayed = replay(read_file("cluster.log"), 1905);
  const auto failures = [&](const std::function<void(Model&, Json&)>& damage) {
    Model model = model_of("cluster-1905.txt");
    damage(model, model.partitions.begin()->second.begin()->second);
    testing::TestPartResultArray found;
    const testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &found);
    expect_equal(replayed.image, model);
    return found.size();
  };
  EXPECT_EQ(failures([](Model&, Json&) {}), 0);
  EXPECT_EQ(failures([](Model&, Json& partition) { partition["leaderEpoch"] = 99; }), 1);
  EXPECT_EQ(failures([](Model&, Json& partition) { partition["replicas"][0] = 99; }), 1);
  EXPECT_EQ(failures([](Model& model, Json&) { model.configs.begin()->second["x"] = "y"; }), 1);
  EXPECT_EQ(failures([](Model& model, Json&) { model.features.erase("group.version"); }), 1);
}

TEST(MetaGolden, kafkas_leader_change_is_the_one_that_we_write) {
  const Replayed replayed = replay(read_file("single.log"));
  wire::LeaderChangeMessage ours;
  ours.leader_id = 1;
  ours.voters = {{.voter_id = 1, .voter_directory_id = {}, .unknown_tags = {}}};
  ours.granting_voters = ours.voters;
  ASSERT_FALSE(replayed.control_values.empty());
  for (const base::Slice& theirs : replayed.control_values) {
    EXPECT_EQ(ours.encode(0).flatten().text(), theirs.text());
  }
}

TEST(MetaGolden, kafkas_quorum_state_is_read_and_written_alike) {
  const std::string single = read_file("single.quorum-state");
  const auto state = QuorumState::from_json(single);
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(*state, (QuorumState{NodeId{1}, LeaderEpoch{2}, {1}}));
  EXPECT_EQ(state->to_json(), single);
  const auto cluster = QuorumState::from_json(read_file("cluster.quorum-state"));
  ASSERT_TRUE(cluster.has_value());
  EXPECT_EQ(*cluster, (QuorumState{NodeId{2}, LeaderEpoch{2}, {1, 2, 3}}));
}

// The answers that Kafka gave to DescribeConfigs for three topics of that node.
TEST(MetaGolden, topics_are_described_as_kafka_described_them) {
  const MetadataImage image = replay(read_file("single.log")).image;
  // The node's listeners and log settings were Kafka's defaults.
  const StaticConfigs file;
  std::ifstream lines(std::string(kFolder) + "described.txt");
  ASSERT_TRUE(lines.good());
  std::string topic;
  std::map<std::string, ConfigEntry> ours;
  size_t compared = 0;
  for (std::string line; std::getline(lines, line);) {
    const Json theirs = Json::parse(line);
    if (theirs["topic"].get<std::string>() != topic) {
      topic = theirs["topic"].get<std::string>();
      ours.clear();
      ConfigMap set;
      for (const auto& [name, value] : theirs["set"].items()) set[name] = value;
      for (ConfigEntry& entry : describe_topic_configs({image, file, NodeId{1}}, set)) {
        ours.emplace(entry.name, std::move(entry));
      }
      EXPECT_EQ(ours.size(), theirs["count"].get<size_t>());
    }
    SCOPED_TRACE(line);
    const auto at = ours.find(theirs["name"].get<std::string>());
    ASSERT_NE(at, ours.end());
    const ConfigEntry& entry = at->second;
    EXPECT_EQ(entry.value.value_or("(null)"), theirs["value"].get<std::string>());
    EXPECT_EQ(static_cast<int>(entry.source), theirs["source"].get<int>());
    EXPECT_EQ(entry.read_only, theirs["readOnly"].get<bool>());
    EXPECT_EQ(entry.sensitive, theirs["sensitive"].get<bool>());
    if (theirs.contains("type")) {
      EXPECT_EQ(static_cast<int>(entry.type), theirs["type"].get<int>());
    }
    Json synonyms = Json::array();
    for (const ConfigSynonym& s : entry.synonyms) {
      synonyms.push_back({s.name, s.value.value_or("(null)"), static_cast<int>(s.source)});
    }
    EXPECT_EQ(synonyms, theirs["synonyms"]);
    ++compared;
  }
  EXPECT_EQ(compared, size_t{3 * 33});
}

}  // namespace
}  // namespace verdict::meta
