#include "speed/records.h"

namespace millet::speed {

Result<Meter> restore_meter(uint64_t micro, uint32_t rest) {
  if (micro >= k_supply_micro || rest >= 1'000'000) return error(Errc::bad_input, "record with a sum above the supply");
  return Meter::restore(micro, rest);
}

}  // namespace millet::speed
