#include "broker/wire/metadata_record.h"

namespace verdict::wire {

base::Result<MetadataRecord> decode_metadata_record(const base::Slices& value) {
  static constexpr std::string_view kName = "metadata record";
  Reader in(value);
  const uint64_t frame_version = in.uvarint(32, "frame version");
  if (in.ok() && frame_version != kMetadataFrameVersion) {
    return base::fail(base::Errc::unsupported,
                      "metadata record in a frame of version " + std::to_string(frame_version));
  }
  const uint64_t type = in.uvarint(32, "type");
  const uint64_t version = in.uvarint(32, "version");
  if (type > INT16_MAX) in.fail("type", "no type of record is that large");
  if (version > INT16_MAX) in.fail("version", "no version is that large");
  if (!in.ok()) return std::unexpected(in.error(kName, kMetadataFrameVersion));
  return MetadataRecord{.type = static_cast<int16_t>(type),
                        .version = static_cast<int16_t>(version),
                        .body = in.take(in.remaining(), "body")};
}

void write_metadata_frame(Writer& out, int16_t type, int16_t version) {
  CHECK(type >= 0);
  CHECK(version >= 0);
  out.uvarint(kMetadataFrameVersion);
  out.uvarint(static_cast<uint64_t>(type));
  out.uvarint(static_cast<uint64_t>(version));
}

}  // namespace verdict::wire
