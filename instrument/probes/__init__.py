"""One file for each kind of probe. It says where it acts and which code goes in; it holds no counters."""
