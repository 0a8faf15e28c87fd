# Compiler flags, dependencies and the two functions every folder uses.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tl-expected REQUIRED)
find_package(SQLiteCpp REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(CURL REQUIRED)
find_package(simdjson REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(GTest REQUIRED)
find_package(benchmark REQUIRED)
if(FULMEN_MPI)
  set(MPI_CXX_SKIP_MPICXX ON)  # the C interface alone
  find_package(MPI REQUIRED COMPONENTS CXX)
endif()
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(hwloc REQUIRED IMPORTED_TARGET hwloc)
pkg_check_modules(oniguruma REQUIRED IMPORTED_TARGET oniguruma)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(libedit REQUIRED IMPORTED_TARGET libedit)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)
pkg_check_modules(libcrypto REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(libzstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(libxxhash REQUIRED IMPORTED_TARGET libxxhash)
foreach(library libjpeg libpng libwebp libwebpdemux libgif libexif)  # images/
  pkg_check_modules(${library} REQUIRED IMPORTED_TARGET ${library})
endforeach()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
if(FULMEN_LINT)
  # What decides about a file besides its text: ccache and ninja check it again when one changes.
  set(rules ${PROJECT_SOURCE_DIR}/.clang-tidy ${PROJECT_SOURCE_DIR}/scripts/tidy)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${rules})
  execute_process(COMMAND clang-tidy --version COMMAND cat - ${rules} COMMAND_ERROR_IS_FATAL ANY
                  OUTPUT_VARIABLE rules)
  string(SHA256 rules "${rules}")
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_DEPEND=1 CCACHE_COMPILERCHECK=string:${rules}
      CCACHE_PREFIX=${PROJECT_SOURCE_DIR}/scripts/tidy ${CCACHE})
endif()

# Our warnings are for our own targets: a project that adds this one has its own.
set(FULMEN_WARNINGS ON)
define_property(TARGET PROPERTY FULMEN_WARNINGS INITIALIZE_FROM_VARIABLE FULMEN_WARNINGS)
add_library(fulmen_flags INTERFACE)
target_compile_features(fulmen_flags INTERFACE cxx_std_20)
target_include_directories(fulmen_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(fulmen_flags INTERFACE
  "$<$<BOOL:$<TARGET_PROPERTY:FULMEN_WARNINGS>>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Werror>")
if(FULMEN_SANITIZE)
  add_compile_options(-fsanitize=${FULMEN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${FULMEN_SANITIZE})
endif()

# For tests: optimizing them takes longer than running them.
set(FULMEN_QUICK_BUILD $<$<CONFIG:Release>:-O1>)

# fulmen_library(NAME [DEPS ...] [LIBS ...]): every source of this folder that is neither a test nor a
# fuzz target becomes the library fulmen_NAME. DEPS are fulmen folders, LIBS are foreign libraries.
function(fulmen_library name)
  cmake_parse_arguments(arg "" "" "DEPS;LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cc)
  list(FILTER sources EXCLUDE REGEX "_(test|fuzz)\\.cc$")
  list(TRANSFORM arg_DEPS PREPEND fulmen_)
  add_library(fulmen_${name} STATIC ${sources})
  target_link_libraries(fulmen_${name} PUBLIC fulmen_flags ${arg_DEPS} ${arg_LIBS})
  fulmen_unity(fulmen_${name} ${sources})
endfunction()

# fulmen_unity(TARGET SOURCE...): with FULMEN_UNITY, several sources are compiled as one. Alone, most
# of them take longer to read headers than for all else.
function(fulmen_unity target)
  if(NOT FULMEN_UNITY)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC takes what a batch includes for headers, in which no type should be a source's own.
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
  endif()
  foreach(source ${ARGN})
    file(STRINGS ${source} per_instruction_set REGEX "foreach_target\\.h" LIMIT_COUNT 1)
    if(per_instruction_set)  # Highway includes such a file into itself
      set_source_files_properties(${source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
endfunction()

# fulmen_instruction_sets(NAME): files of the library that Highway compiles once per instruction set.
function(fulmen_instruction_sets name)
  # Two paths of one kernel (one token, many tokens) must round alike, so the compiler may not fuse
  # products and sums as it sees fit: fused ones are asked for by name (MulAdd).
  target_compile_options(fulmen_${name} PRIVATE -ffp-contract=off)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    # One build each for SSE4, AVX2, AVX3 (AVX-512) and AVX3_DL (Ice Lake, Zen 4 and later).
    target_compile_definitions(fulmen_${name} PRIVATE HWY_BASELINE_TARGETS=HWY_SSE4
                               HWY_DISABLED_TARGETS=HWY_SSSE3 HWY_WANT_AVX3_DL)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    # Highway asks for AES with NEON, and may be inlined by functions that the compiler writes if
    # they, too, are told of it.
    target_compile_options(fulmen_${name} PRIVATE -march=armv8-a+crypto)
    # One build for NEON: SVE's vectors have no size that the compiler knows, so no array holds them.
    target_compile_definitions(fulmen_${name} PRIVATE "HWY_DISABLED_TARGETS=(HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128)")
  else()
    message(FATAL_ERROR "The kernels are written for x86-64 and 64-bit ARM, not for ${CMAKE_SYSTEM_PROCESSOR}.")
  endif()
endfunction()

# fulmen_tests(NAME [SINGLE] [DEPS ...]): every *_test.cc of this folder becomes one ctest entry. They share
# one executable, NAME_test, so that linking stays quick. SINGLE: none is compiled together with others.
# FUZZ targets are *_fuzz.cc.
function(fulmen_tests name)
  cmake_parse_arguments(arg "SINGLE" "" "DEPS" ${ARGN})
  list(TRANSFORM arg_DEPS PREPEND fulmen_)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *_test.cc)
  if(sources)
    add_executable(${name}_test ${sources})
    target_link_libraries(${name}_test PRIVATE fulmen_${name} ${arg_DEPS} fulmen_testing GTest::gtest_main)
    target_compile_options(${name}_test PRIVATE ${FULMEN_QUICK_BUILD})
    if(NOT arg_SINGLE)
      fulmen_unity(${name}_test ${sources})
    endif()
    add_test(NAME ${name} COMMAND ${name}_test --gtest_brief=1)
  endif()
  if(FULMEN_FUZZ)
    file(GLOB_RECURSE fuzzers CONFIGURE_DEPENDS *_fuzz.cc)
    foreach(source ${fuzzers})
      get_filename_component(target ${source} NAME_WE)
      add_executable(${target} ${source})
      target_compile_options(${target} PRIVATE -fsanitize=fuzzer)
      target_link_options(${target} PRIVATE -fsanitize=fuzzer)
      target_link_libraries(${target} PRIVATE fulmen_${name} ${arg_DEPS})
    endforeach()
  endif()
endfunction()
