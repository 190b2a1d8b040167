"""The page: a server on which people compose requests, a queue of them, and worker processes that sample videos."""
