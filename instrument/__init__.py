"""The rewriter: from a module as it came to one that records what happens inside it."""
