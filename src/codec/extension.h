// The extension handshake (BEP 10): a bencoded dictionary in the extended message with id 0, and what we take from it.
//
//     m            extensions by name, each with the id under which its sender wants to get it; we know "btt_speed"
//     p            the sender's listening port           v         its name and version
//     reqq         requests it accepts without an answer yourip    our address as it sees it, 4 or 16 bytes
//     upload_only  1: it downloads nothing (BEP 21)
//
// Everything else is ignored, metadata_size (BEP 9) too: there are no magnets.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/endpoint.h"
#include "base/result.h"

namespace millet::wire {

struct ExtensionHandshake {
  // The id for BitTorrent Speed's messages to the sender; 0 withdraws it; nothing: not mentioned, a later handshake leaves it as it was.
  std::optional<uint8_t> btt_speed;
  std::optional<uint16_t> listen_port;        // never 0
  std::optional<uint32_t> request_count_max;  // "reqq"; never 0
  std::optional<bool> upload_only;
  std::optional<IpAddress> your_address;
  std::string client;  // "v", printable, at most k_client_size_max; may be empty
};

inline constexpr size_t k_client_size_max = 64;  // for one column of a listing

// Keys may be unsorted, as they are from some clients. A value out of its range counts as absent.
// Errors: bad_input if it is no bencoded dictionary or a key that we know is of the wrong type.
Result<ExtensionHandshake> decode_extension_handshake(Bytes payload);
void encode(const ExtensionHandshake& handshake, std::vector<uint8_t>& out);

}  // namespace millet::wire
