#include "apps/command.h"

#include <cstdio>

#include "base/bytes.h"

namespace millet {

int report_error(const CommandContext& context, const Error& error, bool wrong_usage) {
  std::fprintf(stderr, "millet: %s\n", error.reason.c_str());
  if (context.json) {
    Json failure = Json::object();
    failure.set("code", errc_name(error.code)).set("message", error.reason);
    Json out = Json::object();
    out.set("error", std::move(failure));
    print_json(out);
  }
  return wrong_usage ? k_exit_usage : k_exit_failed;
}

void print_json(const Json& value) { std::printf("%s\n", value.dump(true).c_str()); }

bool ArgumentReader::next() {
  if (arguments_.empty()) return false;
  const std::string_view argument = arguments_.front();
  arguments_ = arguments_.subspan(1);
  const size_t equals = argument.starts_with("--") ? argument.find('=') : std::string_view::npos;
  name_ = argument.substr(0, equals);
  has_inline_value_ = equals != std::string_view::npos;
  inline_value_ = has_inline_value_ ? argument.substr(equals + 1) : std::string_view();
  return true;
}

Status ArgumentReader::value_into(std::string& out) {
  if (!has_inline_value_) {
    if (arguments_.empty()) return error(Errc::bad_input, std::string(name_) + " needs a value");
    inline_value_ = arguments_.front();
    arguments_ = arguments_.subspan(1);
  }
  out = std::string(inline_value_);
  return ok;
}

Error ArgumentReader::unknown() const {
  if (has_inline_value_) return error(Errc::bad_input, printable(name_) + " takes no value, or is unknown; --help lists what there is");
  return error(Errc::bad_input, "unknown argument '" + printable(name_) + "'; --help lists what there is");
}

}  // namespace millet
