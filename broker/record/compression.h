#pragma once
// The four codecs of Kafka's batches, by their own libraries. gzip: zlib's gzip stream; snappy: the
// framing of snappy-java (written; raw snappy is read too); lz4: the frame format; zstd: frames.

#include <cstddef>

#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/record/batch.h"

namespace verdict::record {

// Level 0 is the codec's usual one, other levels are Kafka's (compression.<codec>.level); out of
// range they are cut to the range. Codec::none gives the bytes back.
base::Slice compress(Codec codec, int level, const base::Slices& plain);
// corrupt, or too_large when more than `bytes_max` come out; never allocates by a declared length
// beyond bytes_max.
base::Result<base::Slice> decompress(Codec codec, const base::Slices& packed, size_t bytes_max);

}  // namespace verdict::record
