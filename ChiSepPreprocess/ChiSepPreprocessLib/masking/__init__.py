"""Where the brain is: brain extraction and morphology on masks."""
