# Little endian, no FPU: MediaTek MT7620, MT7621, MT76x8 (OpenWrt ramips).
set(MILLET_TRIPLE mipsel-linux-musl)
set(MILLET_CPU "-march=mips32r2 -msoft-float")
set(MILLET_QEMU "qemu-mipsel-static -cpu 24Kc")
# Link-time optimisation compiles in the linker, which does not know of the flag above.
set(MILLET_LINK "-Wl,-plugin-opt=-mattr=+soft-float")
include("${CMAKE_CURRENT_LIST_DIR}/cross/clang-musl.cmake")
