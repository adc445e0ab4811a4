"""Panel of the module that runs the whole chain and shows the result."""
