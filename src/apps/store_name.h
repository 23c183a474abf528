// The name of a store as people may see it.
#pragma once

#include <string>
#include <string_view>

namespace millet {

// `name` (lmdb:FOLDER, postgres:CONNECTION) with *** in place of every password of libpq's connection string: of password=..., quoted or
// not, of sslpassword=..., and of a URI, before the host or among its parameters.
std::string without_passwords(std::string_view name);

}  // namespace millet
