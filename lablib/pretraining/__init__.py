"""A model learns to predict the next token: shards and batches, schedules, the loop, checkpoints, several processes."""
