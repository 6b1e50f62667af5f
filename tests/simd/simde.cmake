# heed/simd/target/avx512.hpp made executable on any machine: SIMDe gives its intrinsics other bodies
# (simde.cpp), and here it loses the region that names the instructions and the register constraint
# that only AVX-512 has.
#   heed_write_emulated_avx512(output)
function(heed_write_emulated_avx512 output)
  set(header "${PROJECT_SOURCE_DIR}/include/heed/simd/target/avx512.hpp")
  set(operations "${PROJECT_SOURCE_DIR}/include/heed/simd/target/avx512_operations.inl")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${header}" "${operations}")
  file(READ "${header}" text)
  file(READ "${operations}" body)
  string(REPLACE "#include \"heed/simd/target/avx512_operations.inl\"" "${body}" text "${text}")
  string(REGEX REPLACE
    "#define HEED_TARGET [^\n]*\n|#include \"heed/simd/target/(begin|end).inl\"\n" "" emulated
    "${text}")
  string(REPLACE "\"+v\"" "\"+m\"" emulated "${emulated}")
  string(REPLACE "namespace avx512" "namespace emulated_avx512" emulated "${emulated}")
  foreach(gone IN ITEMS "HEED_TARGET" "target/begin" "target/end" "\"+v\"" "namespace avx512"
      "avx512_operations")
    string(FIND "${emulated}" "${gone}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "heed: ${header} is written in a way that this does not know: ${gone}")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT "${output}" CONTENT "${emulated}" @ONLY)
endfunction()
