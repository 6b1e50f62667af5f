# cmake -DCOMPILER=... -DFLAGS=... -DSOURCE=... -P check.cmake: see CMakeLists.txt beside this file.
function(fail text)
  message(NOTICE "${SOURCE}: ${text}")  # FATAL_ERROR would wrap it
  message(FATAL_ERROR "not as expected")
endfunction()

file(STRINGS "${SOURCE}" expect LIMIT_COUNT 1)
if(NOT expect MATCHES "^// expect: (.+)$")
  fail("its first line must be '// expect: <regex>'")
endif()
set(expect "${CMAKE_MATCH_1}")

set(ENV{LC_ALL} C)  # compiler messages in English
set(compile "${COMPILER}" ${FLAGS} -fsyntax-only)
execute_process(COMMAND ${compile} "${SOURCE}"
  RESULT_VARIABLE failed OUTPUT_VARIABLE text ERROR_VARIABLE text)
if(failed)
  fail("must compile without HEED_WRONG, but:\n${text}")
endif()

execute_process(COMMAND ${compile} -DHEED_WRONG "${SOURCE}"
  RESULT_VARIABLE failed OUTPUT_VARIABLE text ERROR_VARIABLE text)
if(NOT failed)
  fail("compiles with HEED_WRONG, but must not")
endif()
if(NOT text MATCHES "error: [^\n]*(${expect})")
  fail("no error matches '${expect}' in:\n${text}")
endif()
