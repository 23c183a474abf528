// How cached payload goes out over TCP here, chosen by measurement: copied into a buffer of ours and sent from it, many blocks by one call,
// or handed over block by block without a copy (sendfile). On a fast memory the copy is cheaper, since a block is only 16 KiB and needs two
// calls the other way; a router may differ.
#pragma once

#include "hal/streams.h"

namespace millet::hal {

// Measures both on a connection over loopback, in a few milliseconds. `copy` where the kernel can't tell what its page cache holds
// (cachestat, Linux 6.5): without that, sendfile would wait for a disk.
PayloadWay cheapest_payload_way();

// Nanoseconds of processor time to send 1 MiB that way; -1: it does not work here.
int64_t payload_cost_ns(PayloadWay way);

}  // namespace millet::hal
