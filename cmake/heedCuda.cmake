# heed::cuda, for .cu files: heed's headers and cudart; no Eigen. Only where the CUDA toolkit has a
# compiler. Used by heed's own build and by find_package(heed).
if(NOT TARGET heed::cuda)
  find_package(CUDAToolkit QUIET)
  if(CUDAToolkit_FOUND AND CUDAToolkit_NVCC_EXECUTABLE)
    add_library(heed::cuda INTERFACE IMPORTED GLOBAL)
    set_property(TARGET heed::cuda PROPERTY INTERFACE_INCLUDE_DIRECTORIES
      "$<TARGET_PROPERTY:heed::heed,INTERFACE_INCLUDE_DIRECTORIES>")
    set_property(TARGET heed::cuda PROPERTY INTERFACE_LINK_LIBRARIES CUDA::cudart_static)
  endif()
endif()
