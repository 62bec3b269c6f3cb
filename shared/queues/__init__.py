"""The storage queues: the client, the messages, dead letters and the retry policy."""
