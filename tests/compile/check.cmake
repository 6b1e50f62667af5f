# cmake -DCOMPILER=... -DFLAGS=... -DSOURCE=... -P check.cmake: see CMakeLists.txt beside this file.
function(fail text)
  message(NOTICE "${SOURCE}: ${text}")  # FATAL_ERROR would wrap it
  message(FATAL_ERROR "not as expected")
endfunction()

set(ENV{LC_ALL} C)  # compiler messages in English
function(compile wrong failed text)
  execute_process(
    COMMAND "${COMPILER}" ${FLAGS} ${ARGN} -fsyntax-only -DHEED_WRONG=${wrong} "${SOURCE}"
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  set(${failed} ${result} PARENT_SCOPE)
  set(${text} "${output}" PARENT_SCOPE)
endfunction()

file(STRINGS "${SOURCE}" expectations REGEX "^// expect: .+")
if(NOT expectations)
  fail("needs a line '// expect: <regex>' for each of its wrong programs")
endif()

compile(0 failed text)
if(failed)
  fail("must compile as program 0, but:\n${text}")
endif()

set(wrong 0)
foreach(expectation IN LISTS expectations)
  math(EXPR wrong "${wrong} + 1")
  string(REPLACE "// expect: " "" expectation "${expectation}")
  # The first error is mostly the one; behind it the compiler instantiates whole calls.
  compile(${wrong} failed text -Wfatal-errors)
  if(failed AND NOT text MATCHES "error: [^\n]*(${expectation})")
    compile(${wrong} failed text)
  endif()
  if(NOT failed)
    fail("compiles as program ${wrong}, but must not")
  elseif(NOT text MATCHES "error: [^\n]*(${expectation})")
    fail("program ${wrong}: no error matches '${expectation}' in:\n${text}")
  endif()
endforeach()
