#include "broker/meta/records.h"

#include <algorithm>
#include <array>

namespace verdict::meta {

bool is_passed_over(int16_t type) {
  constexpr auto kTypes = std::to_array<int16_t>({
      10,  // DelegationToken
      11,  // UserScramCredential
      14,  // ClientQuota
      18,  // AccessControlEntry
      19,  // RemoveAccessControlEntry
      21,  // ZkMigrationState
      22,  // RemoveUserScramCredential
      26,  // RemoveDelegationToken
  });
  return std::ranges::binary_search(kTypes, type);
}

base::Result<RecordFrame> read_frame(const base::Slice& value) {
  const base::Slices bytes(value);
  wire::Reader in(bytes);
  const uint64_t frame_version = in.uvarint(32, "frame version");
  const uint64_t type = in.uvarint(32, "type");
  const uint64_t version = in.uvarint(32, "version");
  if (!in.ok() || frame_version != kFrameVersion) {
    return base::fail(base::Errc::corrupt,
                      "no metadata record: the frame is torn or not version 1");
  }
  if (type > INT16_MAX || version > INT16_MAX) {
    return base::fail(base::Errc::corrupt, "no metadata record: type " + std::to_string(type) +
                                               " version " + std::to_string(version));
  }
  RecordFrame frame;
  frame.type = static_cast<int16_t>(type);
  frame.version = static_cast<int16_t>(version);
  frame.body = bytes.cut(in.position(), in.remaining());
  return frame;
}

}  // namespace verdict::meta
