#include "codec/fields.h"

namespace millet {

void FieldWriter::number(uint64_t value, size_t size) {
  for (size_t i = size; i-- > 0; value >>= 8) to_[i] = static_cast<uint8_t>(value);
  to_ += size;
}
void FieldWriter::bytes(const void* from, size_t size) {
  std::memcpy(to_, from, size);
  to_ += size;
}

uint64_t FieldReader::number(size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value = (value << 8) | from_[i];
  from_ += size;
  return value;
}
void FieldReader::amount(const char* name, Amount& value) {
  uint64_t micro = number(8);
  if (micro <= k_supply_micro) {
    value = Amount::micro(micro);
  } else if (bad_ == nullptr) {
    bad_ = name;
  }
}
void FieldReader::rate(const char* name, Rate& value) {
  uint64_t pico = number(8);
  if (pico <= Rate::k_max) {
    value = Rate::pico_per_byte(pico);
  } else if (bad_ == nullptr) {
    bad_ = name;
  }
}
void FieldReader::bytes(void* to, size_t size) {
  std::memcpy(to, from_, size);
  from_ += size;
}

Error wrong_fields_size(size_t size, size_t expected) {
  return error(Errc::bad_input, "message of " + std::to_string(size) + " bytes, expected " + std::to_string(expected));
}
Error field_out_of_range(const char* name) { return error(Errc::bad_input, std::string("field ") + name + " is out of range"); }

}  // namespace millet
