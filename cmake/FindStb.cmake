# stb::stb: the single-header image writers. Debian: libstb-dev, included as <stb/stb_image_write.h>.
find_path(Stb_INCLUDE_DIR stb/stb_image_write.h)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Stb REQUIRED_VARS Stb_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "(Debian and Ubuntu: libstb-dev)")
if(Stb_FOUND AND NOT TARGET stb::stb)
  add_library(stb::stb INTERFACE IMPORTED)
  target_include_directories(stb::stb INTERFACE "${Stb_INCLUDE_DIR}")
endif()
mark_as_advanced(Stb_INCLUDE_DIR)
