"""Text into numbers: byte-level BPE in three sizes, special tokens, and vectors for what comes out."""
