#include "sim/trace.h"

namespace verdict::sim {

std::string_view to_string(EventKind kind) {
  switch (kind) {
    case EventKind::boot: return "boot";
    case EventKind::stop: return "stop";
    case EventKind::crash: return "crash";
    case EventKind::power_off: return "power_off";
    case EventKind::power_on: return "power_on";
    case EventKind::pause: return "pause";
    case EventKind::resume_node: return "resume_node";
    case EventKind::clock_step: return "clock_step";
    case EventKind::clock_freeze: return "clock_freeze";
    case EventKind::spawn: return "spawn";
    case EventKind::run: return "run";
    case EventKind::end: return "end";
    case EventKind::post: return "post";
    case EventKind::net_listen: return "net_listen";
    case EventKind::net_connect: return "net_connect";
    case EventKind::net_established: return "net_established";
    case EventKind::net_accept: return "net_accept";
    case EventKind::net_refused: return "net_refused";
    case EventKind::net_write: return "net_write";
    case EventKind::net_deliver: return "net_deliver";
    case EventKind::net_read: return "net_read";
    case EventKind::net_fin: return "net_fin";
    case EventKind::net_reset: return "net_reset";
    case EventKind::net_stall: return "net_stall";
    case EventKind::disk_write: return "disk_write";
    case EventKind::disk_read: return "disk_read";
    case EventKind::disk_truncate: return "disk_truncate";
    case EventKind::disk_sync: return "disk_sync";
    case EventKind::disk_name: return "disk_name";
    case EventKind::disk_lost: return "disk_lost";
    case EventKind::disk_fault: return "disk_fault";
    case EventKind::entropy: return "entropy";
    case EventKind::log: return "log";
    case EventKind::probe: return "probe";
    case EventKind::fault: return "fault";
    case EventKind::mark: return "mark";
  }
  return "unknown";
}

}  // namespace verdict::sim
