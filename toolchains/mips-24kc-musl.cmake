# Big endian, no FPU: Atheros AR71xx, AR934x, QCA95xx (OpenWrt ath79).
set(MILLET_TRIPLE mips-linux-musl)
set(MILLET_CPU "-march=mips32r2 -msoft-float")
set(MILLET_GNU mips-linux-gnu)
# MIPS16e: every instruction in half the space, where OpenWrt uses it, too. What takes time (SHA, Ed25519, TLS) is in the sysroot, without.
set(MILLET_SMALL "-mips16 -mno-abicalls")
set(MILLET_QEMU "qemu-mips-static -cpu 24Kc")
include("${CMAKE_CURRENT_LIST_DIR}/cross/musl.cmake")
