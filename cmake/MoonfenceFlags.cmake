# Compiler settings that every target shares.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # GNU attributes and statement expressions are part of the house style
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(mf_flags INTERFACE)
target_compile_options(mf_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Wvla -Wundef -Wwrite-strings -Wformat=2 -Wpointer-arith -Wcast-qual
  -fno-strict-aliasing -fno-common -fstack-protector-strong
  $<$<BOOL:${MF_WERROR}>:-Werror>)
target_compile_definitions(mf_flags INTERFACE _GNU_SOURCE MF_VERSION="${PROJECT_VERSION}")
target_include_directories(mf_flags INTERFACE
  ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/core/include)

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
