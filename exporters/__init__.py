"""What shows and sends records: one module per format, none of which knows another format."""
