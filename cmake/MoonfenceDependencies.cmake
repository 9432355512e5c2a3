# Debian's packages, found through pkg-config; tools/install-deps.sh installs them.
# A sysroot that was built anew has another name: what was found in the one before is found again.
if(DEFINED MF_WINDOWS_SYSROOT AND NOT "${MF_SYSROOT_SEARCHED}" STREQUAL "${MF_WINDOWS_SYSROOT}")
  get_cmake_property(cached CACHE_VARIABLES)
  foreach(name ${cached})
    if(name MATCHES "^(__pkg_config_checked_|pkgcfg_lib_)")
      unset(${name} CACHE)
    endif()
  endforeach()
  set(MF_SYSROOT_SEARCHED "${MF_WINDOWS_SYSROOT}" CACHE INTERNAL "Where the libraries were looked for")
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LUA REQUIRED IMPORTED_TARGET lua5.4)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(IDN2 REQUIRED IMPORTED_TARGET libidn2)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(LIBEVENT REQUIRED IMPORTED_TARGET libevent)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET libcrypto libssl)
# Sources of packs over HTTPS. On Windows it is linked; elsewhere only the headers are used, and it is loaded when one is asked.
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
# HTTP/2, for resolvers over HTTPS; without it they are refused when they are configured.
pkg_check_modules(NGHTTP2 IMPORTED_TARGET libnghttp2)
# SCTP over DTLS, for its WebRTC data channels; without it the gateway has no WebRTC.
pkg_check_modules(USRSCTP IMPORTED_TARGET usrsctp)
set(MF_RTC OFF)
if(USRSCTP_FOUND AND NOT WIN32)
  set(MF_RTC ON)
endif()
# The Public Suffix List; without it policies do not see which domain a name was registered under.
pkg_check_modules(PSL IMPORTED_TARGET libpsl)
# Editing of lines in `policy repl`; without it lines are read as they come.
pkg_check_modules(EDIT IMPORTED_TARGET libedit)
# Compressed event files; without it they are rotated only.
pkg_check_modules(ZLIB IMPORTED_TARGET zlib)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  pkg_check_modules(NFTABLES REQUIRED IMPORTED_TARGET libnftables)
  pkg_check_modules(CONNTRACK REQUIRED IMPORTED_TARGET libnetfilter_conntrack)
  pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
  pkg_check_modules(FUSE3 REQUIRED IMPORTED_TARGET fuse3)
  pkg_check_modules(LWIP REQUIRED IMPORTED_TARGET lwip)
endif()
if(MF_TESTS OR MF_FUZZ)
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif()
