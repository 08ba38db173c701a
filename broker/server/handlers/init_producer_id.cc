// InitProducerId: an id for an idempotent producer.

#include "broker/wire/init_producer_id.h"
#include "broker/server/request.h"
#include "broker/wire/errors.h"

namespace verdict::server {

Answer handle_init_producer_id(const Request& request) {
  using wire::ErrorCode;
  const auto asked =
      TRY(wire::InitProducerIdRequest::decode(request.frame.body, request.version()));
  wire::InitProducerIdResponse response;
  response.producer_epoch = -1;
  if (asked.transactional_id) {
    // There is no coordinator of transactions yet; Kafka refuses an empty id at once.
    response.error_code =
        code(asked.transactional_id->empty() ? ErrorCode::invalid_request
                                             : ErrorCode::coordinator_not_available);
    return answer_with(request, response);
  }
  auto id = request.shard().next_producer_id();
  if (!id) {
    // Nothing was given; the client asks again.
    response.error_code = code(ErrorCode::coordinator_load_in_progress);
    return answer_with(request, response);
  }
  response.producer_id = *id;
  response.producer_epoch = 0;
  return answer_with(request, response);
}

}  // namespace verdict::server
