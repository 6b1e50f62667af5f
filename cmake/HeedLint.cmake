# The unit for clang-tidy, which is never built: all.cpp includes every header, so that each is read
# once.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/include"
  "${PROJECT_SOURCE_DIR}/include/heed/*.hpp")
set(text "")
foreach(header IN LISTS headers)
  if(header MATCHES "^heed/[^/]*/")  # no umbrella header
    string(APPEND text "#include \"${header}\"\n")
  endif()
endforeach()
set(unit "${PROJECT_BINARY_DIR}/lint/all.cpp")
file(CONFIGURE OUTPUT "${unit}" CONTENT "${text}" @ONLY)
add_library(heed_lint OBJECT EXCLUDE_FROM_ALL "${unit}")
target_link_libraries(heed_lint PRIVATE heed_develop)
