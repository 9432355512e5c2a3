# moonfence-VERSION-win64.zip: what a Windows user unpacks and runs (tools/package-windows.py). Part of the build.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(mf_zip ${CMAKE_BINARY_DIR}/moonfence-${PROJECT_VERSION}-win64.zip)
file(GLOB_RECURSE mf_zip_texts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/lua/*.lua ${CMAKE_SOURCE_DIR}/docs/*.md
  ${CMAKE_SOURCE_DIR}/docs/windows-install.txt)
add_custom_command(OUTPUT ${mf_zip}
  COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_SOURCE_DIR}/tools/package-windows.py --version ${PROJECT_VERSION}
    --program $<TARGET_FILE:moonfence> --dll $<TARGET_FILE:moonfence_shared>
    --import-lib $<TARGET_LINKER_FILE:moonfence_shared> --strip ${CMAKE_STRIP} --sysroot ${MF_WINDOWS_SYSROOT}
    --output ${mf_zip}
  DEPENDS moonfence moonfence_shared ${CMAKE_SOURCE_DIR}/tools/package-windows.py ${mf_zip_texts}
  VERBATIM)
add_custom_target(zip ALL DEPENDS ${mf_zip})
