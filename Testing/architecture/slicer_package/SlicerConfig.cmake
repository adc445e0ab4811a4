# Stands in for the CMake package of a built Slicer: it takes the extension's lists as Slicer does, installs the files
# that they name, and writes what it was told into record.txt, one "kind<TAB>owner<TAB>value" a line.
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/GenerateConfig.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/Package.cmake)
