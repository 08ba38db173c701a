#pragma once
// The value of a record of the metadata log: which record it is, then the record.
//
// On disk: the version of this frame (always 1), the type and the version of the record, each as an
// unsigned varint, then the record's body.

#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/wire/codec.h"

namespace verdict::wire {

inline constexpr uint32_t kMetadataFrameVersion = 1;

struct MetadataRecord {
  int16_t type = -1;  // kApiKey of the record's struct, which decodes `body`
  int16_t version = -1;
  base::Slices body;
};

// Errc::invalid when the bytes are no frame, Errc::unsupported for another version of the frame.
base::Result<MetadataRecord> decode_metadata_record(const base::Slices& value);

void write_metadata_frame(Writer& out, int16_t type, int16_t version);

template <class Record>
base::Slice encode_metadata_record(const Record& record, int16_t version) {
  Writer out;
  write_metadata_frame(out, Record::kApiKey, version);
  record.encode(out, version);
  return std::move(out).finish().flatten();
}

}  // namespace verdict::wire
