# MediaTek MT7622, MT798x, Rockchip RK33xx, BCM2711 (OpenWrt aarch64_cortex-a53).
set(MILLET_TRIPLE aarch64-linux-musl)
# Outlined atomics ask the C library of glibc whether the processor has LSE.
set(MILLET_CPU "-mcpu=cortex-a53 -mno-outline-atomics")
set(MILLET_GNU aarch64-linux-gnu)
set(MILLET_QEMU "qemu-aarch64-static -cpu cortex-a53")
include("${CMAKE_CURRENT_LIST_DIR}/cross/musl.cmake")
