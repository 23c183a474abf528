# What the targets have in common: Debian's clang and lld, and a sysroot with musl, compiler-rt, libc++ and the libraries of ours, made by
# `./toolchains/dev cross TARGET` (cross/sysroot). Programs are static. A target's file says:
#
#   MILLET_TRIPLE   what clang calls the target
#   MILLET_CPU      flags that name the processor, for C, C++ and assembler
#   MILLET_QEMU     which program runs the target's programs, with the exact processor
#   MILLET_SMALL    how its programs are made small (optional, -Os): the libraries are always made with -Os
#   MILLET_LINK     flags for the linker (optional)
#
# `cmake -P toolchains/TARGET.cmake` prints them: what is built by configure scripts takes them from there.
if(CMAKE_SCRIPT_MODE_FILE)
  foreach(name TRIPLE CPU QEMU)
    execute_process(COMMAND "${CMAKE_COMMAND}" -E echo "${name} ${MILLET_${name}}")
  endforeach()
  return()
endif()

get_filename_component(MILLET_TARGET "${CMAKE_TOOLCHAIN_FILE}" NAME_WE)
if(NOT MILLET_SYSROOT)
  set(MILLET_SYSROOT "$ENV{MILLET_SYSROOT}")
endif()
if(NOT MILLET_SYSROOT)
  get_filename_component(MILLET_SYSROOT "${CMAKE_CURRENT_LIST_DIR}/../../build/cross/${MILLET_TARGET}/sysroot" ABSOLUTE)
endif()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES MILLET_SYSROOT)

set(CMAKE_SYSTEM_NAME Linux)
string(REGEX REPLACE "-.*" "" CMAKE_SYSTEM_PROCESSOR "${MILLET_TRIPLE}")
set(CMAKE_C_COMPILER clang-16)
set(CMAKE_CXX_COMPILER clang++-16)
set(CMAKE_ASM_COMPILER clang-16)
foreach(language C CXX ASM)
  set(CMAKE_${language}_COMPILER_TARGET ${MILLET_TRIPLE})
endforeach()
# The absolute names: CMake would look for names with the triple in front first.
set(CMAKE_AR /usr/bin/llvm-ar-16 CACHE FILEPATH "")
set(CMAKE_RANLIB /usr/bin/llvm-ranlib-16 CACHE FILEPATH "")
set(CMAKE_STRIP /usr/bin/llvm-strip-16 CACHE FILEPATH "")
set(CMAKE_SYSROOT "${MILLET_SYSROOT}")

# clang would find the headers of Debian's cross compilers beside a sysroot: so it gets none but ours. Nothing is ever unwound.
# The programs stay where they are linked to: position-independent code is a tenth more.
set(flags "${MILLET_CPU} -fno-pic -nostdlibinc -fno-unwind-tables -fno-asynchronous-unwind-tables")
set(CMAKE_C_FLAGS_INIT "${flags} -isystem ${MILLET_SYSROOT}/include")
set(CMAKE_ASM_FLAGS_INIT "${flags} -isystem ${MILLET_SYSROOT}/include")
set(CMAKE_CXX_FLAGS_INIT "${flags} -nostdinc++ -isystem ${MILLET_SYSROOT}/include/c++/v1 -isystem ${MILLET_SYSROOT}/include")
set(lib "${MILLET_SYSROOT}/lib")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-fuse-ld=lld-16 -static -nostdlib -L${lib} -Wl,--gc-sections,--icf=safe,-z,norelro ${MILLET_LINK} ${lib}/crt1.o ${lib}/crti.o")
set(CMAKE_C_STANDARD_LIBRARIES "-Wl,--start-group -lc -lclang_rt -Wl,--end-group ${lib}/crtn.o")
set(CMAKE_CXX_STANDARD_LIBRARIES "-Wl,--start-group -lc++ -lc -lclang_rt -Wl,--end-group ${lib}/crtn.o")
if(NOT MILLET_SMALL)
  set(MILLET_SMALL "-Os")
endif()
# The linker compiles: it sees what is called from one place only, or never.
set(CMAKE_CXX_FLAGS_MINSIZEREL "${MILLET_SMALL} -DNDEBUG -flto" CACHE STRING "Flags of small programs")
# While the sysroot is being made there is nothing to link with.
if(NOT EXISTS "${lib}/libc++.a")
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
endif()

set(CMAKE_FIND_ROOT_PATH "${MILLET_SYSROOT}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
separate_arguments(CMAKE_CROSSCOMPILING_EMULATOR UNIX_COMMAND "${MILLET_QEMU}")
