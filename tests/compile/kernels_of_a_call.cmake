# cmake -DCOMPILER=... -DINCLUDE=... -DEIGEN=... -DNM=... -DBUILD=... -P kernels_of_a_call.cmake: a file has the
# kernels of the Compute values that it names. Pairs of bfloat16 were a twentieth of a call of float.
cmake_minimum_required(VERSION 3.22)

# The kernels of a file with one call of float, as nm names them.
function(kernels_of_a_call name options found)
  set(unit "${BUILD}/kernels_of_${name}")
  file(WRITE "${unit}.cpp" "#include \"heed/heed.hpp\"
auto call(const heed::Tensor4<float>& x) {
  return heed::attention(x, x, x, heed::mask::causal(), heed::score::None{}, ${options});
}
")
  execute_process(COMMAND "${COMPILER}" -std=c++20 "-I${INCLUDE}" -isystem "${EIGEN}"
      -c "${unit}.cpp" -o "${unit}.o" COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND "${NM}" -C "${unit}.o" OUTPUT_VARIABLE symbols
    COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL " [A-Za-z] [^\n]*heed::simd::[^\n]*::(portable|avx2|avx512_bf16)::[^\n]*"
    kernels "${symbols}")
  set(${found} "${kernels}" PARENT_SCOPE)
endfunction()

kernels_of_a_call(float "{}" of_float)
kernels_of_a_call(bfloat16 "{.compute = heed::Compute::bfloat16}" of_bfloat16)
if(NOT of_float MATCHES "::portable::")
  message(FATAL_ERROR "a call of float has no kernels")
elseif(NOT of_float MATCHES "::avx2::")
  return()  # another machine's compiler
endif()
set(pairs "::avx512_bf16::[^\n;]*pairs")
if(of_float MATCHES "${pairs}")
  message(FATAL_ERROR "a call of float brings ${CMAKE_MATCH_0}")
elseif(NOT of_bfloat16 MATCHES "${pairs}")
  message(FATAL_ERROR "a call of Compute::bfloat16 has no kernels of pairs")
endif()
