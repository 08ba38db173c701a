#pragma once
// Kafka's frame around a metadata record: frame version 1, type and version as unsigned varints,
// then the body.

#include <cstdint>

#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/wire/codec.h"

namespace verdict::meta {

inline constexpr uint64_t kFrameVersion = 1;

// A record type of Kafka's that this broker passes over until its feature is built.
bool is_passed_over(int16_t type);

struct RecordFrame {
  int16_t type = 0;
  int16_t version = 0;
  base::Slices body;
};

// corrupt when it is no such frame.
base::Result<RecordFrame> read_frame(const base::Slice& value);

// The value of a record of the metadata log.
template <class Record>
base::Slice frame(const Record& record, int16_t version = Record::kVersionMax) {
  wire::Writer out;
  out.uvarint(kFrameVersion);
  out.uvarint(static_cast<uint64_t>(Record::kApiKey));
  out.uvarint(static_cast<uint64_t>(version));
  record.encode(out, version);
  return std::move(out).finish().flatten();
}

}  // namespace verdict::meta
