// A command of `millet`: what main() hands to it, and how it ends. Each command (create, wallet, ...) is a function of this shape in a
// file of its own; millet.cpp has the table.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "control/json.h"

namespace millet {

struct CommandContext {
  std::string state;   // state folder of the node
  std::string socket;  // its control socket
  bool json = false;   // machine-readable output
};

// Arguments after the command's name. The exit status of the program: one of the three below.
using CommandArguments = std::span<const char* const>;
using CommandFunction = int (*)(const CommandContext&, CommandArguments);

inline constexpr int k_exit_done = 0;
inline constexpr int k_exit_failed = 1;  // understood, but could not be done
inline constexpr int k_exit_usage = 2;   // wrong arguments

// Prints the error: one line to standard error and, with --json, {"error": {"code", "message"}} to standard output. The exit status:
// k_exit_usage for `wrong_usage`, else k_exit_failed.
int report_error(const CommandContext& context, const Error& error, bool wrong_usage = false);
// Prints a result in its --json form.
void print_json(const Json& value);

// Reads "--name VALUE" and "--name=VALUE" off an argument list, and plain arguments between them.
class ArgumentReader {
 public:
  explicit ArgumentReader(CommandArguments arguments) : arguments_(arguments) {}
  // The next argument without its value; false at the end.
  bool next();
  std::string_view name() const { return name_; }
  bool is(std::string_view name) const { return name_ == name; }
  bool is_option() const { return name_.size() > 1 && name_.starts_with("-"); }
  // The value of an option: after its '=', else the next argument. Errors: bad_input if there is none.
  Status value_into(std::string& out);
  // For an argument that nobody knows, and for a flag that was given a value. Errors: bad_input, always.
  Error unknown() const;

 private:
  CommandArguments arguments_;
  std::string_view name_;
  std::string_view inline_value_;
  bool has_inline_value_ = false;
};

}  // namespace millet
