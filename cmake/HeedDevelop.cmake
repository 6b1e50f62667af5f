# heed_develop: what this repository's own programs are built with. Users never see it.
add_library(heed_develop INTERFACE)
target_link_libraries(heed_develop INTERFACE heed::heed)

set(HEED_WARNINGS -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow)
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  target_compile_options(heed_develop INTERFACE
    ${HEED_WARNINGS} $<$<BOOL:${HEED_WERROR}>:-Werror>)
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
target_link_libraries(heed_develop INTERFACE Threads::Threads)

if(HEED_OPENMP)
  find_package(OpenMP COMPONENTS CXX)
  if(OpenMP_CXX_FOUND)
    target_link_libraries(heed_develop INTERFACE OpenMP::OpenMP_CXX)
  endif()
endif()

# The kernels are compiled once for all programs.
file(CONFIGURE OUTPUT kernels.cpp
  CONTENT "#define HEED_DEFINE_KERNELS\n#include <heed/simd/extern_kernels.hpp>\n")
add_library(heed_kernels STATIC EXCLUDE_FROM_ALL "${CMAKE_CURRENT_BINARY_DIR}/kernels.cpp")
target_link_libraries(heed_kernels PRIVATE heed_develop)
target_compile_options(heed_kernels PRIVATE ${HEED_KERNEL_FLAGS})
add_library(heed_programs INTERFACE)
target_compile_definitions(heed_programs INTERFACE HEED_EXTERN_KERNELS)
target_link_libraries(heed_programs INTERFACE heed_develop heed_kernels)

set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
enable_testing()
