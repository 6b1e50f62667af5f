# heed::cuda, for .cu files: heed's headers and cudart; no Eigen. Only where the CUDA toolkit has a
# compiler that knows C++20. Used by heed's own build and by find_package(heed).
if(NOT TARGET heed::cuda)
  find_package(CUDAToolkit QUIET)
  if(CUDAToolkit_NVCC_EXECUTABLE AND CUDAToolkit_VERSION VERSION_GREATER_EQUAL 12.0)
    add_library(heed::cuda INTERFACE IMPORTED GLOBAL)
    set_property(TARGET heed::cuda PROPERTY INTERFACE_INCLUDE_DIRECTORIES
      "$<TARGET_PROPERTY:heed::heed,INTERFACE_INCLUDE_DIRECTORIES>")
    # Not the feature cuda_std_20: a CMake older than the toolkit knows of no standard for nvcc.
    set_property(TARGET heed::cuda PROPERTY INTERFACE_COMPILE_OPTIONS
      "$<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<NOT:$<VERSION_GREATER:$<TARGET_PROPERTY:CUDA_STANDARD>,20>>>:-std=c++20>")
    set_property(TARGET heed::cuda PROPERTY INTERFACE_LINK_LIBRARIES CUDA::cudart_static)
  endif()
endif()
