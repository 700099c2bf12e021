"""Getting data into shape before training: checking, deriving, fetching."""
