// What a fuzz target is: LLVMFuzzerTestOneInput as libFuzzer wants it, so that clang's -fsanitize=fuzzer can drive it, and samples of good
// input. Without libFuzzer, replay.cpp drives it over mutations of the samples that a seed and a count settle.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

// Ends the process by a CHECK if a property does not hold; always returns 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// Inputs that reach every part of the parser.
std::vector<std::string> fuzz_samples();
