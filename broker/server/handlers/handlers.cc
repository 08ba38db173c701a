// Which handler answers which API.

#include <array>

#include "broker/server/request.h"
#include "broker/wire/api_versions.h"
#include "broker/wire/create_topics.h"
#include "broker/wire/delete_topics.h"
#include "broker/wire/describe_configs.h"
#include "broker/wire/fetch.h"
#include "broker/wire/init_producer_id.h"
#include "broker/wire/list_offsets.h"
#include "broker/wire/metadata.h"

namespace verdict::server {

namespace {

struct Entry {
  int16_t api_key;
  Handler handler;
};

constexpr auto kHandlers = std::to_array<Entry>({
    {wire::FetchRequest::kApiKey, handle_fetch},
    {wire::ListOffsetsRequest::kApiKey, handle_list_offsets},
    {wire::MetadataRequest::kApiKey, handle_metadata},
    {wire::ApiVersionsRequest::kApiKey, handle_api_versions},
    {wire::CreateTopicsRequest::kApiKey, handle_create_topics},
    {wire::DeleteTopicsRequest::kApiKey, handle_delete_topics},
    {wire::InitProducerIdRequest::kApiKey, handle_init_producer_id},
    {wire::DescribeConfigsRequest::kApiKey, handle_describe_configs},
});

}  // namespace

Handler find_handler(int16_t api_key) {
  for (const Entry& entry : kHandlers) {
    if (entry.api_key == api_key) return entry.handler;
  }
  return nullptr;
}

}  // namespace verdict::server
