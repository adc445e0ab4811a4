"""Panel of the module that turns maps into susceptibility maps."""
