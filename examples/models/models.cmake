# heed_models: what the programs and tests of whole models share, a static library so that the JSON
# parser is compiled once. Every folder that uses it includes this file: the first defines it, all
# find its packages, whose targets are a folder's own. heed_models_missing says what to install
# where it cannot be built, and is empty where it can.

set(heed_models_missing "")
find_package(nlohmann_json 3.9 QUIET)
if(NOT nlohmann_json_FOUND)
  list(APPEND heed_models_missing "nlohmann-json3-dev")
endif()
find_package(Utf8proc QUIET)
if(NOT Utf8proc_FOUND)
  list(APPEND heed_models_missing "libutf8proc-dev")
endif()
if(heed_models_missing)
  list(JOIN heed_models_missing " " heed_models_missing)
  message(STATUS "heed: the models are not built, missing (Debian and Ubuntu packages): "
    "${heed_models_missing}")
  return()
endif()

if(TARGET heed_models)
  return()
endif()
file(GLOB heed_models_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/*.cpp")
# An nvcc that refuses this machine's g++ must not keep the models from being built.
if(TARGET heed::cuda AND NOT DEFINED HEED_NVCC_COMPILES)
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/empty.cu" "#include <concepts>\n")
  execute_process(
    COMMAND "${CUDAToolkit_NVCC_EXECUTABLE}" -std=c++20 -arch=sm_80 -c empty.cu -o empty.o
    WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}" RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
  set(compiles ON)
  if(failed)
    message(STATUS "heed: nvcc does not compile C++20 here: minilm is built without --device cuda")
    set(compiles OFF)
  endif()
  set(HEED_NVCC_COMPILES ${compiles} CACHE BOOL "Whether nvcc compiles C++20 with this g++")
  mark_as_advanced(HEED_NVCC_COMPILES)
endif()
set(heed_models_cuda "")
if(TARGET heed::cuda AND HEED_NVCC_COMPILES)
  list(FILTER heed_models_sources EXCLUDE REGEX "/cuda_attention_missing\\.cpp$")
  set(heed_models_cuda "${CMAKE_CURRENT_BINARY_DIR}/cuda_attention.o")
  # sm_80 brings its PTX along, which newer devices compile for themselves.
  add_custom_command(OUTPUT "${heed_models_cuda}"
    COMMAND "${CUDAToolkit_NVCC_EXECUTABLE}" -std=c++20 -O2 -arch=sm_80
      "-I${PROJECT_SOURCE_DIR}/include" "-I${PROJECT_SOURCE_DIR}/examples"
      -MD -MF "${heed_models_cuda}.d" -c "${CMAKE_CURRENT_LIST_DIR}/cuda_attention.cu"
      -o "${heed_models_cuda}"
    COMMAND "${CMAKE_COMMAND}" "-DDEPFILE=${heed_models_cuda}.d"
      -P "${PROJECT_SOURCE_DIR}/cmake/EscapeDepfile.cmake"
    DEPENDS "${CMAKE_CURRENT_LIST_DIR}/cuda_attention.cu" DEPFILE "${heed_models_cuda}.d" VERBATIM)
endif()
add_library(heed_models STATIC EXCLUDE_FROM_ALL ${heed_models_sources} ${heed_models_cuda})
if(heed_models_cuda)
  target_link_libraries(heed_models PRIVATE CUDA::cudart_static)
endif()
target_include_directories(heed_models PUBLIC "${PROJECT_SOURCE_DIR}/examples")
target_link_libraries(heed_models
  PUBLIC heed_programs
  PRIVATE nlohmann_json::nlohmann_json utf8proc::utf8proc)
