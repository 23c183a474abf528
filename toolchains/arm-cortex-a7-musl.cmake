# 32-bit, hard float, Thumb-2: IPQ40xx, sunxi, BCM2709 (OpenWrt arm_cortex-a7_neon-vfpv4), and most NAS boxes with 32 bits.
set(MILLET_TRIPLE armv7-linux-musleabihf)
set(MILLET_CPU "-mcpu=cortex-a7 -mthumb")
set(MILLET_GNU arm-linux-gnueabihf)
set(MILLET_QEMU "qemu-arm-static -cpu cortex-a7")
include("${CMAKE_CURRENT_LIST_DIR}/cross/musl.cmake")
