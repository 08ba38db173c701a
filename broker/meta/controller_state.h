#pragma once
// What the parts of the controller share. Only for controller*.cc.

#include "broker/meta/controller.h"

namespace verdict::meta {

struct Controller::State {
  runtime::Node& node;
  std::unique_ptr<MetadataLog> log;
  Options options;

  NodeId self() const { return options.node_id; }
  ConfigScope scope(const MetadataImage& image) const {
    return {image, options.server_properties, options.node_id};
  }
  // A setting of the broker, between `min` and `max` whatever the file says.
  int64_t setting(std::string_view name, int64_t min, int64_t max) const;
  bool enabled(std::string_view name) const;
  // Under the log's mutex: durable, then published.
  base::Result<Committed> commit(const RecordValues& values);
  // An id that is neither taken nor easy to mistake for an option of a command line.
  Uuid new_id(std::string_view stream);
  // The epoch of this broker's registration.
  base::Result<BrokerEpoch> broker_epoch() const;
};

}  // namespace verdict::meta
