# What the targets have in common: a sysroot with musl, compiler-rt, libc++ and the libraries of ours, made by `./toolchains/dev cross TARGET`
# (cross/sysroot) with Debian's clang, and programs made with it by Debian's GCC, which makes them a quarter smaller than clang does, and less
# than two thirds of that with MIPS16e. Programs are static. A target's file says:
#
#   MILLET_TRIPLE   what clang calls the target
#   MILLET_CPU      flags that name the processor, for C, C++ and assembler
#   MILLET_GNU      what Debian calls the target: its GCC is MILLET_GNU-g++-12
#   MILLET_SMALL    flags that make programs smaller, not the libraries of the sysroot (optional)
#   MILLET_QEMU     which program runs the target's programs, with the exact processor
#
# `cmake -P toolchains/TARGET.cmake` prints them: what is built by configure scripts takes them from there.
if(CMAKE_SCRIPT_MODE_FILE)
  foreach(name TRIPLE CPU GNU QEMU)
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
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES MILLET_SYSROOT MILLET_MAKES_SYSROOT)

set(CMAKE_SYSTEM_NAME Linux)
string(REGEX REPLACE "-.*" "" CMAKE_SYSTEM_PROCESSOR "${MILLET_TRIPLE}")
set(CMAKE_SYSROOT "${MILLET_SYSROOT}")
set(lib "${MILLET_SYSROOT}/lib")

# Nothing is ever unwound. The programs stay where they are linked to: position-independent code is a tenth more.
set(flags "${MILLET_CPU} -fno-pic -fno-unwind-tables -fno-asynchronous-unwind-tables")
if(MILLET_MAKES_SYSROOT)
  set(CMAKE_C_COMPILER clang-16)
  set(CMAKE_CXX_COMPILER clang++-16)
  set(CMAKE_ASM_COMPILER clang-16)
  foreach(language C CXX ASM)
    set(CMAKE_${language}_COMPILER_TARGET ${MILLET_TRIPLE})
  endforeach()
  # The absolute names: CMake would look for names with the triple in front first.
  set(CMAKE_AR /usr/bin/llvm-ar-16 CACHE FILEPATH "")
  set(CMAKE_RANLIB /usr/bin/llvm-ranlib-16 CACHE FILEPATH "")
  # clang would find the headers of Debian's cross compilers beside a sysroot: so it gets none but ours.
  string(APPEND flags " -nostdlibinc")
  set(link "-fuse-ld=lld-16")
  # There is nothing to link with yet.
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
else()
  set(CMAKE_C_COMPILER ${MILLET_GNU}-gcc-12)
  set(CMAKE_CXX_COMPILER ${MILLET_GNU}-g++-12)
  set(CMAKE_AR /usr/bin/${MILLET_GNU}-gcc-ar-12 CACHE FILEPATH "")
  set(CMAKE_RANLIB /usr/bin/${MILLET_GNU}-gcc-ranlib-12 CACHE FILEPATH "")
  set(CMAKE_STRIP /usr/bin/${MILLET_GNU}-strip CACHE FILEPATH "")
  # No header of Debian's C library, but those of the compiler itself, after musl's.
  execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=include OUTPUT_VARIABLE own_headers OUTPUT_STRIP_TRAILING_WHITESPACE)
  string(APPEND flags " ${MILLET_SMALL} -fno-pie -nostdinc")
  set(after "-isystem ${own_headers}")
  # What GCC says of libc++ as it optimises is often wrong (an overlap inside operator+ of strings); builds for this machine hear it of their own.
  set(warnings "-Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread -Wno-maybe-uninitialized -Wno-free-nonheap-object")
  # Assembler in musl is position-independent on MIPS, the rest is not: in a static program both go. __dso_handle would come from GCC's crtbegin.o.
  set(link "-no-pie -Wl,--no-warn-mismatch,--defsym=__dso_handle=0")
  # The linker compiles: it sees what is called from one place only, or never. GCC 12 must not fold what it takes for the same code: it took
  # the destructors of two vectors for the same whose elements differ in size.  In one piece: parts of their own cost half a per cent.
  set(CMAKE_CXX_FLAGS_MINSIZEREL "-Os -fno-ipa-icf -DNDEBUG -flto=auto -flto-partition=none" CACHE STRING "Flags of small programs")
endif()
set(CMAKE_C_FLAGS_INIT "${flags} -isystem ${MILLET_SYSROOT}/include ${after}")
set(CMAKE_ASM_FLAGS_INIT "${flags} -isystem ${MILLET_SYSROOT}/include ${after}")
set(CMAKE_CXX_FLAGS_INIT "${flags} -nostdinc++ -isystem ${MILLET_SYSROOT}/include/c++/v1 -isystem ${MILLET_SYSROOT}/include ${after} ${warnings}")
# The data begins in the file where the constants end, not at the next page, which would be up to 4 KB of nothing on flash.
set(CMAKE_EXE_LINKER_FLAGS_INIT "${link} -static -nostdlib -L${lib} -Wl,--gc-sections,-z,norelro,-z,common-page-size=64,--build-id=none ${lib}/crt1.o ${lib}/crti.o")
set(CMAKE_C_STANDARD_LIBRARIES "-Wl,--start-group -lc -lclang_rt -Wl,--end-group ${lib}/crtn.o")
set(CMAKE_CXX_STANDARD_LIBRARIES "-Wl,--start-group -lc++ -lc -lclang_rt -Wl,--end-group ${lib}/crtn.o")

set(CMAKE_FIND_ROOT_PATH "${MILLET_SYSROOT}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
separate_arguments(CMAKE_CROSSCOMPILING_EMULATOR UNIX_COMMAND "${MILLET_QEMU}")
