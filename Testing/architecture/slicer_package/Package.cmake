write_down(stage ${PROJECT_NAME} packaged)
foreach(key HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  write_down(metadata ${key} "${EXTENSION_${key}}")
endforeach()
