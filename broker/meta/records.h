#pragma once
// Metadata records on their way into the log.

#include "broker/base/slice.h"
#include "broker/wire/metadata_record.h"

namespace verdict::meta {

// The value of a record, in the version that the present feature level asks for.
template <class Record>
base::Slice frame(const Record& record, int16_t version = Record::kVersionMax) {
  return wire::encode_metadata_record(record, version);
}

}  // namespace verdict::meta
