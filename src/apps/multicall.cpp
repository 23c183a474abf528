// milletd and millet in one binary, for devices with little flash: the name that it is called by says which of them it is.
#include <string_view>

#include "apps/mains.h"

int main(int argc, char** argv) {
  std::string_view name = argc > 0 ? argv[0] : "";
  name.remove_prefix(name.rfind('/') + 1);
  return name == "millet" ? millet::millet_main(argc, argv) : millet::milletd_main(argc, argv);
}
