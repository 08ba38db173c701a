// Every batch and record of a log directory that Kafka wrote, line by line against what Kafka's own
// reader printed of it.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "broker/base/endian.h"
#include "broker/record/batch.h"
#include "broker/record/validate.h"

namespace verdict::record {
namespace {

using base::Slice;

const std::filesystem::path kData = "tests/golden/data";
constexpr size_t kUncompressedMax = 64U << 20;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::istringstream text(read_file(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

// The topic-partitions that there is a dump of.
std::vector<std::string> partitions() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kData / "dump")) {
    names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

struct Placed {
  size_t position;
  Slice bytes;
  BatchHeader header;
};

// The batches of a partition's only segment.
std::vector<Placed> batches_of(const std::string& partition) {
  Slice file = Slice::copy_of(read_file(kData / "logdir" / partition / "00000000000000000000.log"));
  std::vector<Placed> batches;
  for (size_t at = 0; at < file.size();) {
    EXPECT_GE(file.size() - at, kHeaderBytes);
    if (file.size() - at < kHeaderBytes) break;
    BatchHeader header = read_header(file.bytes().subspan(at));
    auto checked = check_header(header, file.size() - at);
    EXPECT_TRUE(checked.has_value())
        << partition << " at " << at << ": " << checked.error().to_string();
    if (!checked) break;
    batches.push_back({at, file.cut(at, header.total_bytes()), header});
    at += header.total_bytes();
  }
  return batches;
}

// A batch in the words of Kafka's dump.
std::string describe(const Placed& batch) {
  const BatchHeader& h = batch.header;
  auto flag = [](bool set) { return set ? "true" : "false"; };
  std::ostringstream line;
  line << "baseOffset: " << h.base_offset << " lastOffset: " << h.last_offset()
       << " count: " << h.record_count << " baseSequence: " << h.base_sequence
       << " lastSequence: " << h.last_sequence() << " producerId: " << h.producer_id
       << " producerEpoch: " << h.producer_epoch << " partitionLeaderEpoch: " << h.leader_epoch
       << " isTransactional: " << flag(h.transactional()) << " isControl: " << flag(h.control())
       << " deleteHorizonMs: " << (h.has_delete_horizon() ? "set" : "OptionalLong.empty")
       << " position: " << batch.position << ' '
       << (h.log_append_time() ? "LogAppendTime" : "CreateTime") << ": " << h.max_timestamp_ms
       << " size: " << batch.bytes.size() << " magic: " << static_cast<int>(h.magic)
       << " compresscodec: " << to_string(static_cast<Codec>(h.codec_bits())) << " crc: " << h.crc
       << " isvalid: " << flag(batch_crc(batch.bytes) == h.crc);
  return line.str();
}

std::string size_of(const std::optional<Slice>& slice) {
  return slice ? std::to_string(slice->size()) : "-1";
}

// What can be said of a record without knowing what its key and value mean.
std::string describe(const BatchHeader& h, const Record& record) {
  std::ostringstream line;
  line << "| offset: " << h.base_offset + record.offset_delta << ' '
       << (h.log_append_time() ? "LogAppendTime" : "CreateTime") << ": "
       << h.timestamp_ms(record.timestamp_delta_ms) << " keySize: " << size_of(record.key)
       << " valueSize: " << size_of(record.value)
       << " sequence: " << (h.base_sequence < 0 ? -1 : h.base_sequence + record.offset_delta)
       << " headerKeys: [";
  for (size_t i = 0; i < record.headers.size(); ++i) {
    line << (i == 0 ? "" : ",") << record.headers[i].key.text();
  }
  line << ']';
  return line.str();
}

// The rest of a record's line, where key and value are text or an end of a transaction.
std::string content(const BatchHeader& h, const Record& record) {
  if (h.control()) {
    auto type = base::load_be<int16_t>(record.key->data() + 2);
    auto epoch = base::load_be<int32_t>(record.value->data() + 2);
    return std::string(" endTxnMarker: ") + (type == 1 ? "COMMIT" : "ABORT") +
           " coordinatorEpoch: " + std::to_string(epoch);
  }
  std::string rest;
  if (record.key) rest += " key: " + std::string(record.key->text());
  if (record.value) rest += " payload: " + std::string(record.value->text());
  return rest;
}

TEST(RecordGolden, every_batch_and_record_is_what_kafkas_reader_printed) {
  size_t records_seen = 0;
  size_t batches_seen = 0;
  for (const std::string& partition : partitions()) {
    SCOPED_TRACE(partition);
    bool decoded = partition.starts_with("__");  // there the dump shows what the records mean
    std::vector<std::string> lines = lines_of(kData / "dump" / (partition + ".txt"));
    size_t next = 2;  // after two lines of introduction
    for (const Placed& batch : batches_of(partition)) {
      ASSERT_LT(next, lines.size());
      ASSERT_EQ(describe(batch), lines[next++]);
      ++batches_seen;
      auto records = read_records(batch.header, batch.bytes, kUncompressedMax);
      ASSERT_TRUE(records.has_value()) << records.error().to_string();
      ASSERT_EQ(records->size(), static_cast<size_t>(batch.header.record_count));
      for (const Record& record : *records) {
        ASSERT_LT(next, lines.size());
        const std::string& line = lines[next++];
        std::string ours = describe(batch.header, record);
        if (decoded) {
          ASSERT_EQ(ours, line.substr(0, ours.size()));
        } else {
          ASSERT_EQ(ours + content(batch.header, record), line);
        }
        ++records_seen;
      }
    }
    ASSERT_EQ(next, lines.size());
  }
  RecordProperty("batches", static_cast<int>(batches_seen));
  RecordProperty("records", static_cast<int>(records_seen));
  EXPECT_GT(batches_seen, 500U);
  EXPECT_GT(records_seen, 15'000U);
}

TEST(RecordGolden, recordings_hold_every_codec_and_kind_of_batch) {
  std::set<int> codecs;
  bool control = false;
  bool transactional = false;
  bool idempotent = false;
  bool headers = false;
  for (const std::string& partition : partitions()) {
    for (const Placed& batch : batches_of(partition)) {
      codecs.insert(batch.header.codec_bits());
      control |= batch.header.control();
      transactional |= batch.header.transactional();
      idempotent |= batch.header.producer_id >= 0 && !batch.header.transactional();
      auto records = read_records(batch.header, batch.bytes, kUncompressedMax);
      ASSERT_TRUE(records.has_value());
      for (const Record& record : *records) headers |= !record.headers.empty();
    }
  }
  EXPECT_EQ(codecs, (std::set<int>{0, 1, 2, 3, 4}));
  EXPECT_TRUE(control);
  EXPECT_TRUE(transactional);
  EXPECT_TRUE(idempotent);
  EXPECT_TRUE(headers);
}

TEST(RecordGolden, headers_are_written_back_to_kafkas_bytes) {
  for (const std::string& partition : partitions()) {
    for (const Placed& batch : batches_of(partition)) {
      std::array<std::byte, kHeaderBytes> bytes;
      write_header(batch.header, bytes);
      ASSERT_TRUE(std::ranges::equal(bytes, batch.bytes.bytes().first(kHeaderBytes)));
    }
  }
}

TEST(RecordGolden, builder_makes_kafkas_bytes_of_uncompressed_batches) {
  // Byte for byte: Kafka's clients encode records in the one canonical way, and so do we.
  size_t built = 0;
  for (const std::string& partition : partitions()) {
    SCOPED_TRACE(partition);
    for (const Placed& batch : batches_of(partition)) {
      const BatchHeader& h = batch.header;
      if (h.codec_bits() != 0) continue;
      auto records = read_records(h, batch.bytes, kUncompressedMax);
      ASSERT_TRUE(records.has_value());
      BatchBuilder builder({.producer_id = h.producer_id,
                            .producer_epoch = h.producer_epoch,
                            .base_sequence = h.base_sequence,
                            .transactional = h.transactional(),
                            .control = h.control(),
                            .leader_epoch = h.leader_epoch,
                            .base_offset = h.base_offset});
      auto bytes_of = [](const std::optional<Slice>& s) {
        return s ? std::optional(s->bytes()) : std::nullopt;
      };
      for (const Record& r : *records) {
        builder.add(h.timestamp_ms(r.timestamp_delta_ms), bytes_of(r.key), bytes_of(r.value),
                    r.headers);
      }
      ASSERT_EQ(builder.build().text(), batch.bytes.text()) << "offset " << h.base_offset;
      ++built;
    }
  }
  EXPECT_GT(built, 400U);
}

TEST(RecordGolden, batches_as_clients_sent_them_are_accepted_unchanged) {
  // Kafka kept the clients' bytes, so with the base offset taken back they are what was produced.
  size_t accepted = 0;
  for (const std::string& partition : partitions()) {
    if (partition.starts_with("__")) continue;
    SCOPED_TRACE(partition);
    for (const Placed& batch : batches_of(partition)) {
      if (batch.header.control()) continue;
      BatchHeader sent = batch.header;
      sent.base_offset = 0;
      sent.leader_epoch = -1;
      std::array<std::byte, kHeaderBytes> header;
      write_header(sent, header);
      base::Slices request(Slice::copy_of(header));
      request.push_back(batch.bytes.cut(kHeaderBytes, batch.bytes.size() - kHeaderBytes));
      auto judged = validate_for_append(request, {}, batch.header.max_timestamp_ms);
      ASSERT_TRUE(judged.has_value()) << judged.error().message;
      Slice placed =
          judged->with_position(batch.header.base_offset, batch.header.leader_epoch).flatten();
      ASSERT_EQ(placed.text(), batch.bytes.text());
      ++accepted;
    }
  }
  EXPECT_EQ(accepted, 20U);  // all that the recordings hold
}

}  // namespace
}  // namespace verdict::record
