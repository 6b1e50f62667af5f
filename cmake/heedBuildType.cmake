# Says so where nothing asks the compiler to optimise, which is CMake's default and makes heed many
# times slower. Used by heed's own build and by find_package(heed).
get_property(heed_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(NOT heed_multi_config AND NOT CMAKE_BUILD_TYPE AND NOT heed_FIND_QUIETLY
    AND NOT CMAKE_CXX_FLAGS MATCHES "-O([1-9sg]|fast)")
  message(STATUS "heed: nothing is optimised, as CMAKE_BUILD_TYPE is empty; "
    "configure with -DCMAKE_BUILD_TYPE=Release")
endif()
unset(heed_multi_config)
