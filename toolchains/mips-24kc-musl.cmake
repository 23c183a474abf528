# Big endian, no FPU: Atheros AR71xx, AR934x, QCA95xx (OpenWrt ath79).
set(MILLET_TRIPLE mips-linux-musl)
set(MILLET_CPU "-march=mips32r2 -msoft-float")
set(MILLET_QEMU "qemu-mips-static -cpu 24Kc")
# Link-time optimisation compiles in the linker, which does not know of the flag above.
set(MILLET_LINK "-Wl,-plugin-opt=-mattr=+soft-float")
include("${CMAKE_CURRENT_LIST_DIR}/cross/clang-musl.cmake")
