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

set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
enable_testing()
