"""Pictures of convolutions; needs `pip install 'jaxconv[viz]'`."""
