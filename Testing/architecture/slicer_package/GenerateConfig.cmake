write_down(stage ${PROJECT_NAME} configured)
