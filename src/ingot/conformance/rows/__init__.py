"""The rows by where they come from: a file for each of the systems and their surfaces, one for each part of the contract."""
