# mf_own_sources(VAR): leaves other systems' sources (_linux.c, _win32.c, _darwin.c, _posix.c, _nolinux.c) out of the list VAR.
function(mf_own_sources var)
  set(sources ${${var}})
  foreach(system linux win32 darwin)
    if(NOT system STREQUAL MF_SYSTEM)
      list(FILTER sources EXCLUDE REGEX "_${system}\\.c$")
    endif()
  endforeach()
  if(WIN32)
    list(FILTER sources EXCLUDE REGEX "_posix\\.c$")
  endif()
  if(MF_SYSTEM STREQUAL linux)
    list(FILTER sources EXCLUDE REGEX "_nolinux\\.c$")
  endif()
  set(${var} ${sources} PARENT_SCOPE)
endfunction()

# mf_floor(NAME SOURCES... DEPENDS targets...): one floor of the house.
#
# Makes a static library NAME that tests and fuzzers link alone, so that an include from a higher floor fails to link,
# and an object library NAME_o from which libmoonfence is put together. Sources of other systems (_linux.c, _win32.c,
# _darwin.c, _posix.c, _nolinux.c) are left out.
function(mf_floor name)
  cmake_parse_arguments(F "" "" "SOURCES;DEPENDS" ${ARGN})
  mf_own_sources(F_SOURCES)
  add_library(${name}_o OBJECT ${F_SOURCES})
  target_link_libraries(${name}_o PRIVATE mf_flags ${F_DEPENDS})
  add_library(${name} STATIC $<TARGET_OBJECTS:${name}_o>)
  target_link_libraries(${name} PUBLIC mf_flags ${F_DEPENDS})
endfunction()

# mf_unit_test(NAME SOURCES... LIBS targets... [ENV k=v...] [LABELS ...]): a cmocka test, run by ctest as unit.NAME.
function(mf_unit_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;LIBS;ENV;LABELS" ${ARGN})
  add_executable(test_${name} ${T_SOURCES})
  target_link_libraries(test_${name} PRIVATE mf_flags ${T_LIBS} mf_test_os PkgConfig::CMOCKA)
  target_compile_definitions(test_${name} PRIVATE MF_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data"
    MF_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME unit.${name} COMMAND test_${name})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 1800)
  endif()
  set_tests_properties(unit.${name} PROPERTIES TIMEOUT ${T_TIMEOUT} SKIP_RETURN_CODE 77
    ENVIRONMENT "${T_ENV}" LABELS "unit;${T_LABELS}")
endfunction()

# mf_fuzz_target(NAME SOURCES... LIBS targets...): with -DMF_FUZZ=ON a libFuzzer program fuzz_NAME; in every build a
# replay of the seed corpus tests/fuzz/corpus/NAME as the ctest fuzz.NAME.
function(mf_fuzz_target name)
  cmake_parse_arguments(T "" "" "SOURCES;LIBS" ${ARGN})
  set(corpus ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  if(MF_FUZZ)
    add_executable(fuzz_${name} ${T_SOURCES})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(fuzz_${name} ${T_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.c)
  endif()
  target_link_libraries(fuzz_${name} PRIVATE mf_flags ${T_LIBS})
  if(MF_FUZZ)
    add_test(NAME fuzz.${name} COMMAND fuzz_${name} -runs=0 ${corpus})
  else()
    add_test(NAME fuzz.${name} COMMAND fuzz_${name} ${corpus})
  endif()
  set_tests_properties(fuzz.${name} PROPERTIES TIMEOUT 900 LABELS "fuzz")
endfunction()

# mf_bench(NAME SOURCES... LIBS targets...): a benchmark program bench_NAME; bench/run.sh knows which table rows it fills.
function(mf_bench name)
  cmake_parse_arguments(T "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(bench_${name} ${T_SOURCES})
  target_link_libraries(bench_${name} PRIVATE mf_flags ${T_LIBS})
endfunction()
