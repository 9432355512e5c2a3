# Compiler settings that every target shares.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # GNU attributes and statement expressions are part of the house style
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# The suffix of the files that only this system sees (mf_sources()).
if(WIN32)
  set(MF_SYSTEM win32)
elseif(APPLE)
  set(MF_SYSTEM darwin)
else()
  set(MF_SYSTEM linux)
endif()

add_library(mf_flags INTERFACE)
target_compile_options(mf_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Wvla -Wundef -Wwrite-strings -Wformat=2 -Wpointer-arith -Wcast-qual
  -fno-strict-aliasing -fno-common -fstack-protector-strong
  $<$<BOOL:${MF_WERROR}>:-Werror>)
target_compile_definitions(mf_flags INTERFACE _GNU_SOURCE MF_VERSION="${PROJECT_VERSION}")
target_include_directories(mf_flags INTERFACE
  ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/core/include)

if(WIN32)
  # Windows 10 and later. mingw's own printf is C99's: %zu and %lld mean what they say, and the checks know it.
  target_compile_definitions(mf_flags INTERFACE _WIN32_WINNT=0x0A00 WINVER=0x0A00 NTDDI_VERSION=0x0A000006
    WIN32_LEAN_AND_MEAN NOMINMAX UNICODE _UNICODE __USE_MINGW_ANSI_STDIO=1)
  # The same program from the same sources, wherever they are built: no times and no folders in it.
  target_compile_options(mf_flags INTERFACE -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
  target_link_options(mf_flags INTERFACE LINKER:--no-insert-timestamp)
  # What the C library lacks; no portable file names it.
  target_compile_options(mf_flags INTERFACE -include ${CMAKE_SOURCE_DIR}/core/base/compat_win32.h)
  target_link_libraries(mf_flags INTERFACE ws2_32 bcrypt advapi32)
endif()

if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" OR CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(mf_flags INTERFACE _FORTIFY_SOURCE=2)
endif()

# Bugs that a release survives stop a debug build, so that tests find them.
target_compile_definitions(mf_flags INTERFACE $<$<CONFIG:Debug>:MF_BUG_ABORTS>)

if(MF_SANITIZE)
  target_compile_options(mf_flags INTERFACE -fsanitize=${MF_SANITIZE} -fno-omit-frame-pointer)
  if(NOT MF_SANITIZE STREQUAL "thread")
    target_compile_options(mf_flags INTERFACE -fno-sanitize-recover=all)
  endif()
  target_link_options(mf_flags INTERFACE -fsanitize=${MF_SANITIZE})
endif()
if(MF_FUZZ)
  target_compile_options(mf_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_compile_definitions(mf_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:MF_BUG_ABORTS>)
endif()
