"""The command line.  Only this part of jaxconv prints."""
