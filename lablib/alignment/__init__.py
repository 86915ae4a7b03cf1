"""A model that answers is made to answer as people want: preferences, learned rewards, RLHF, DPO, and rules that it applies to itself."""
