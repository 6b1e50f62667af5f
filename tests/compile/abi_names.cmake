# cmake -DCOMPILER=... -DINCLUDE=... -DEIGEN=... -DNM=... -DBUILD=... -P abi_names.cmake: units whose flags change
# code have symbols of their own, and a unit that heed can't serve stops at one error.
cmake_minimum_required(VERSION 3.22)
set(source "${BUILD}/abi_names.cpp")
file(WRITE "${source}" "#include \"heed/core/abi.hpp\"\nHEED_ABI\n")
function(run output)
  execute_process(COMMAND "${COMPILER}" ${ARGN} "-I${INCLUDE}" -E -P "${source}"
    RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE error)
  set(result ${result} PARENT_SCOPE)
  set(${output} "${text}" PARENT_SCOPE)
  set(error "${error}" PARENT_SCOPE)
endfunction()

set(seen "")
foreach(flags "" -fopenmp -DNDEBUG -ffast-math -ffinite-math-only -DEIGEN_MAX_ALIGN_BYTES=32
    -DEIGEN_DONT_VECTORIZE -mssse3 -msse4.1 -msse4.2 -mavx "-mavx;-mf16c" "-mavx;-mfma" -mavx2
    "-mavx2;-mbmi2" -march=haswell -march=skylake-avx512 -march=cascadelake -march=cooperlake
    -march=icelake-server -march=sapphirerapids "-march=icelake-server;-mno-avx512vbmi")
  run(text -std=c++20 ${flags})
  if(result AND flags MATCHES "-m")
    continue()  # another machine's compiler
  elseif(NOT text MATCHES "abi_[0-9a-z_]+")
    message(FATAL_ERROR "${flags}: not a name: ${text}${error}")
  endif()
  set(name "${CMAKE_MATCH_0}")
  if(name IN_LIST seen)
    message(FATAL_ERROR "${flags} shares the name ${name} with other flags")
  endif()
  list(APPEND seen "${name}")
endforeach()

# Eigen defines by itself what a user may define: the name is the same before and after Eigen.
run(before -std=c++20)
run(after -std=c++20 -DEIGEN_MAX_ALIGN_BYTES=16)
if(NOT before STREQUAL after)
  message(FATAL_ERROR "${before} before Eigen, ${after} after it")
endif()

foreach(flags "-std=c++17;needs C..20" "-std=c++20;-fno-exceptions;heed throws heed::Error")
  list(POP_BACK flags expected)
  run(text ${flags})
  string(REGEX MATCHALL "\n" lines "${error}")
  list(LENGTH lines count)
  if(NOT result OR NOT error MATCHES "error: [^\n]*${expected}" OR count GREATER 20)
    message(FATAL_ERROR "${flags}: wants one error, '${expected}', not:\n${error}")
  endif()
endforeach()

# Members of modules and of bound masks and scores have names of their own too. Without optimisation
# the compiler leaves every one of them out of line.
file(WRITE "${BUILD}/abi_members.cpp" [[
#include "heed/mask/blocks.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/document.hpp"
#include "heed/mask/packed.hpp"
#include "heed/mask/random.hpp"
#include "heed/nn/layer_norm.hpp"
#include "heed/nn/linear.hpp"
#include "heed/score/bias.hpp"
template class heed::nn::RowNorm<float, heed::simd::Norm::layer>;
template class heed::nn::Linear<float>;
template struct heed::nn::Parameter<float>;
template struct heed::mask::BoundDense<float>;
template struct heed::mask::BoundBlocks<float>;
template struct heed::mask::BoundPacked<heed::mask::Causal>;
template struct heed::score::BoundBias<float>;
auto random_coverage = &heed::mask::BoundRandom::coverage;
auto document_fill = &heed::mask::BoundDocument::fill;
auto workspace(const heed::nn::Options& options) { return heed::nn::Workspace(1, 1, options); }
]])
foreach(machine skylake-avx512 sapphirerapids)
  run(text -std=c++20 -march=${machine})
  if(result)
    return()  # another machine's compiler
  endif()
  set(unit "${BUILD}/abi_members_${machine}.o")
  execute_process(COMMAND "${COMPILER}" -std=c++20 -march=${machine} "-I${INCLUDE}" -isystem "${EIGEN}"
      -c "${BUILD}/abi_members.cpp" -o "${unit}" COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND "${NM}" -C "${unit}" OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[VWu] heed::(nn::|mask::[^\n:]*::Bound|mask::Bound|score::Bound)[^\n]*" ${machine} "${text}")
endforeach()
set(shared "")
foreach(symbol IN LISTS skylake-avx512)
  if(symbol IN_LIST sapphirerapids AND NOT symbol MATCHES "Options::| std::")
    string(APPEND shared "\n${symbol}")
  endif()
endforeach()
if(shared)
  message(FATAL_ERROR "units of different flags share:${shared}")
elseif(NOT skylake-avx512 MATCHES "RowNorm")
  message(FATAL_ERROR "the unit has no member of a module")
endif()
