# No FPU, no unaligned access, no atomic instructions: Marvell Kirkwood NAS boxes (OpenWrt arm_arm926ej-s).
set(MILLET_TRIPLE armv5te-linux-musleabi)
set(MILLET_CPU "-mcpu=arm926ej-s -mfloat-abi=soft")
set(MILLET_GNU arm-linux-gnueabi)
# Thumb, likewise; what takes time is in the sysroot, without.
set(MILLET_SMALL "-mthumb")
set(MILLET_QEMU "qemu-arm-static -cpu arm926")
include("${CMAKE_CURRENT_LIST_DIR}/cross/musl.cmake")
