# Any x86-64: routers made of PCs, NAS boxes (OpenWrt x86_64).
set(MILLET_TRIPLE x86_64-linux-musl)
set(MILLET_CPU "-march=x86-64")
set(MILLET_GNU x86_64-linux-gnu)
set(MILLET_QEMU "qemu-x86_64-static -cpu qemu64")
include("${CMAKE_CURRENT_LIST_DIR}/cross/musl.cmake")
