option(BUILD_TESTING "Register the tests" ON)

# All modules of an extension are built into, and installed into, this one folder.
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/qt-scripted-modules)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR qt-scripted-modules)

file(WRITE ${CMAKE_BINARY_DIR}/record.txt "")

function(write_down kind owner)
  foreach(value IN LISTS ARGN)
    file(APPEND ${CMAKE_BINARY_DIR}/record.txt "${kind}\t${owner}\t${value}\n")
  endforeach()
endfunction()

function(require_file path)
  get_filename_component(absolute ${path} ABSOLUTE)
  if(IS_DIRECTORY ${absolute} OR NOT EXISTS ${absolute})
    message(FATAL_ERROR "A list names '${path}', which is no file in ${CMAKE_CURRENT_SOURCE_DIR}")
  endif()
endfunction()

function(install_files source target)
  foreach(path IN LISTS ARGN)
    require_file(${source}/${path})
    get_filename_component(folder ${path} DIRECTORY)
    install(FILES ${source}/${path} DESTINATION ${target}/${folder})
  endforeach()
endfunction()

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(PARSE_ARGV 0 MODULE "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES")
  if(NOT MODULE_NAME OR MODULE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "NAME is missing, or these are not understood: '${MODULE_UNPARSED_ARGUMENTS}'")
  endif()
  write_down(module ${MODULE_NAME} ${CMAKE_CURRENT_SOURCE_DIR})
  write_down(scripts ${MODULE_NAME} ${MODULE_SCRIPTS})
  write_down(resources ${MODULE_NAME} ${MODULE_RESOURCES})
  if(MODULE_WITH_GENERIC_TESTS)
    write_down(tests ${MODULE_NAME} generic)
  endif()
  install_files(
    ${CMAKE_CURRENT_SOURCE_DIR} ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR} ${MODULE_SCRIPTS} ${MODULE_RESOURCES}
    )
endfunction()

# The macro of CTK that Slicer's own calls: scripts of SOURCE_DIR are built into DESTINATION_DIR, which is installed into
# INSTALL_DIR, as a folder of its own unless NO_INSTALL_SUBDIR is given.
function(ctkMacroCompilePythonScript)
  cmake_parse_arguments(
    PARSE_ARGV 0 PACKAGE "NO_INSTALL_SUBDIR" "TARGET_NAME;SOURCE_DIR;DESTINATION_DIR;INSTALL_DIR" "SCRIPTS;RESOURCES"
    )
  foreach(name TARGET_NAME SCRIPTS SOURCE_DIR DESTINATION_DIR INSTALL_DIR)
    if(NOT PACKAGE_${name})
      message(FATAL_ERROR "${name} is missing")
    endif()
  endforeach()
  if(PACKAGE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "These are not understood: '${PACKAGE_UNPARSED_ARGUMENTS}'")
  endif()
  if(NOT PACKAGE_DESTINATION_DIR STREQUAL ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR})
    message(FATAL_ERROR "${PACKAGE_TARGET_NAME} would be built into ${PACKAGE_DESTINATION_DIR}, not beside the modules")
  endif()
  write_down(package ${PACKAGE_TARGET_NAME} ${PACKAGE_SCRIPTS})
  set(subfolder "")
  if(NOT PACKAGE_NO_INSTALL_SUBDIR)
    get_filename_component(subfolder ${PACKAGE_DESTINATION_DIR} NAME)
  endif()
  install_files(${PACKAGE_SOURCE_DIR} ${PACKAGE_INSTALL_DIR}/${subfolder} ${PACKAGE_SCRIPTS} ${PACKAGE_RESOURCES})
endfunction()

function(slicer_add_python_unittest)
  cmake_parse_arguments(PARSE_ARGV 0 TEST "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS")
  require_file(${TEST_SCRIPT})
  write_down(tests ${MODULE_NAME} ${CMAKE_CURRENT_SOURCE_DIR}/${TEST_SCRIPT})
endfunction()
