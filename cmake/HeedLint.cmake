# Units for clang-tidy, which are never built: all.cpp includes every header, so that each is read once;
# one a folder has its headers, those of folders inside too.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/include"
  "${PROJECT_SOURCE_DIR}/include/heed/*.hpp")
set(folders "")
foreach(header IN LISTS headers)
  if(NOT header MATCHES "^heed/([^/]*)/")
    continue()  # an umbrella header
  endif()
  set(folder "${CMAKE_MATCH_1}")
  list(APPEND folders ${folder})
  string(APPEND ${folder}_text "#include \"${header}\"\n")
endforeach()
list(REMOVE_DUPLICATES folders)

set(units "")
set(all_text "")
foreach(folder IN LISTS folders)
  string(APPEND all_text "${${folder}_text}")
endforeach()
foreach(folder IN LISTS folders ITEMS all)
  set(unit "${PROJECT_BINARY_DIR}/lint/${folder}.cpp")
  file(CONFIGURE OUTPUT "${unit}" CONTENT "${${folder}_text}" @ONLY)
  list(APPEND units "${unit}")
endforeach()
add_library(heed_lint OBJECT EXCLUDE_FROM_ALL ${units})
target_link_libraries(heed_lint PRIVATE heed_develop)
