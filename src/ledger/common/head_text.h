// A tree head as one line of text, for files and for people: what the ledger signed about its log at some moment, so that a log that is
// shorter, or another one, can be told by anybody who kept the line (the ledger's witness, `millet ledger head`).
//
//   "millet-ledger-head 1" ledger[32], size, root[32], time, signature[64]; hexadecimal and decimal
#pragma once

#include <string>
#include <string_view>

#include "ledger/common/api.h"

namespace millet {

inline constexpr std::string_view k_head_title = "millet-ledger-head 1";
inline constexpr size_t k_head_text_max = 400;

struct HeadText {
  LedgerId ledger;
  SignedTreeHead head;
  bool operator==(const HeadText&) const = default;
};

std::string write_head_text(const HeadText& head);
// Spaces around it do not matter. The signature is not checked. Errors: bad_input.
Result<HeadText> parse_head_text(std::string_view text);

}  // namespace millet
