# Toolchain: 64-bit Windows 10 with mingw-w64 (POSIX threads), linked statically, so that only the system's DLLs are
# needed. The libraries come from the sysroot that tools/build-windows-deps.sh makes, and from nowhere else.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_VERSION 10.0)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_AR x86_64-w64-mingw32-gcc-ar-posix CACHE FILEPATH "")
set(CMAKE_RANLIB x86_64-w64-mingw32-gcc-ranlib-posix CACHE FILEPATH "")
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)

get_filename_component(mf_root ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
if(NOT DEFINED ENV{MF_WINDOWS_SYSROOT_FOUND}) # CMake reads this file for each of its own test programs, too
  execute_process(COMMAND ${mf_root}/tools/build-windows-deps.sh --path
    OUTPUT_VARIABLE mf_sysroot OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE mf_result)
  if(NOT mf_result EQUAL 0)
    message(FATAL_ERROR "The Windows libraries are not built: run tools/install-deps.sh windows and tools/build-windows-deps.sh")
  endif()
  set(ENV{MF_WINDOWS_SYSROOT_FOUND} ${mf_sysroot})
endif()
set(MF_WINDOWS_SYSROOT $ENV{MF_WINDOWS_SYSROOT_FOUND})

set(CMAKE_FIND_ROOT_PATH ${MF_WINDOWS_SYSROOT} /usr/x86_64-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${MF_WINDOWS_SYSROOT}/lib/pkgconfig)
set(ENV{PKG_CONFIG_PATH})
set(PKG_CONFIG_ARGN --static)

set(CMAKE_C_FLAGS_INIT "-ffunction-sections -fdata-sections")
# Lua's and PCRE2's depth limits are made for the 8 MB that a Linux thread has.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static -fstack-protector-strong -Wl,--gc-sections -Wl,--stack,8388608 -Wl,--dynamicbase,--nxcompat,--high-entropy-va")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-static -fstack-protector-strong -Wl,--gc-sections -Wl,--dynamicbase,--nxcompat,--high-entropy-va")

set(CMAKE_CROSSCOMPILING_EMULATOR ${mf_root}/tools/wine.sh ${CMAKE_BINARY_DIR}/wine)
