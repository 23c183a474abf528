// The programs that one binary can hold (MILLET_MULTICALL): each as a function with the arguments of main().
#pragma once

namespace millet {

int milletd_main(int argc, char** argv);
int millet_main(int argc, char** argv);

}  // namespace millet
