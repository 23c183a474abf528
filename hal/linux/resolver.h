// Names to addresses by the C library, which knows /etc/hosts and the configured name servers.
#pragma once

#include "hal/system.h"

namespace millet::hal {

class LinuxResolver final : public Resolver {
 public:
  Result<std::vector<IpAddress>> resolve(const std::string& name) override;
};

}  // namespace millet::hal
