# Little endian, no FPU: MediaTek MT7620, MT7621, MT76x8 (OpenWrt ramips).
set(MILLET_TRIPLE mipsel-linux-musl)
set(MILLET_CPU "-march=mips32r2 -msoft-float")
set(MILLET_GNU mipsel-linux-gnu)
# MIPS16e: every instruction in half the space, where OpenWrt uses it, too. What takes time (SHA, Ed25519, TLS) is in the sysroot, without.
set(MILLET_SMALL "-mips16 -mno-abicalls")
set(MILLET_QEMU "qemu-mipsel-static -cpu 24Kc")
include("${CMAKE_CURRENT_LIST_DIR}/cross/musl.cmake")
