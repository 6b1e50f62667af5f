# Headers, find_package(heed) and a pkg-config file.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/heed"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.inl" PATTERN "*.cuh")

set(heed_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/heed")
install(TARGETS heed EXPORT heedTargets)
install(EXPORT heedTargets NAMESPACE heed:: DESTINATION "${heed_package_dir}")

configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/heedConfig.cmake.in" "${PROJECT_BINARY_DIR}/heedConfig.cmake"
  INSTALL_DESTINATION "${heed_package_dir}")
# Headers are the same for 32 and 64 bits, so the version file must not compare pointer sizes.
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/heedConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion
  ARCH_INDEPENDENT)
install(FILES
  "${PROJECT_BINARY_DIR}/heedConfig.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/heedBuildType.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/heedCuda.cmake"
  "${PROJECT_BINARY_DIR}/heedConfigVersion.cmake"
  DESTINATION "${heed_package_dir}")

configure_file("${PROJECT_SOURCE_DIR}/cmake/heed.pc.in" "${PROJECT_BINARY_DIR}/heed.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/heed.pc" DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")
