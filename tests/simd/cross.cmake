# cmake -DCOMPILER=... -DRUNNER=... -DFLAGS=... -DFOLDER=... -DBUILD=... -P cross.cmake: builds the
# tests of the kernels for another machine and runs them in its emulator.
file(MAKE_DIRECTORY "${BUILD}")
file(WRITE "${BUILD}/main.cpp" "#define CATCH_CONFIG_MAIN\n#include <catch2/catch.hpp>\n")
cmake_path(GET FOLDER PARENT_PATH tests)
set(objects "")
foreach(name IN ITEMS tables wide decode_test exp_test pack_test micro_kernel_test softmax_test main)
  set(source "${FOLDER}/${name}.cpp")
  if(name STREQUAL "main")
    set(source "${BUILD}/main.cpp")
  endif()
  execute_process(COMMAND "${COMPILER}" ${FLAGS} "-I${tests}" -O2 -c "${source}"
    -o "${BUILD}/${name}.o" COMMAND_ERROR_IS_FATAL ANY)
  list(APPEND objects "${BUILD}/${name}.o")
endforeach()
# Static, so that the emulator needs none of the other machine's libraries.
execute_process(COMMAND "${COMPILER}" -static ${objects} -o "${BUILD}/heed_simd_tests"
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${RUNNER}" "${BUILD}/heed_simd_tests" COMMAND_ERROR_IS_FATAL ANY)
