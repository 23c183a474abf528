// Configuration files in UCI syntax, as OpenWrt keeps them (https://openwrt.org/docs/techref/uci): reading only.
//
//     # comment
//     config millet 'node'                 a section: its type, and its name if it has one
//         option listen '[::]:6881'        one value
//         list  tracker "http://a/b"       one of several
//
// A word is made of bare and quoted parts side by side. Nothing is special in single quotes; in double quotes and outside of quotes a
// backslash takes the next character as it is. Outside of quotes '#' begins a comment and ';' ends a statement. Unlike there, a quote ends
// on its own line: a value of several lines is always a quote that somebody forgot.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace millet::uci {

inline constexpr size_t k_entries_max = 10'000;  // a file of 64 KiB has less than 7,300 statements

struct Entry {
  std::string section_type;
  std::string section_name;  // empty: unnamed
  std::string option;
  std::string value;
  bool is_list = false;
  uint32_t line = 0;  // from 1, for messages about the value
};

// The options of a file in its order; a section without options leaves nothing.
// Errors: bad_input as "line 3: ...".
Result<std::vector<Entry>> parse(std::string_view text);

}  // namespace millet::uci
