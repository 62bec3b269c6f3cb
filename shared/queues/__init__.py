"""The storage queues: the client, the messages, the dead letters, the retry policy."""
