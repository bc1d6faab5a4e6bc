"""Model files: what their headers say, how they come here, where they are kept."""
