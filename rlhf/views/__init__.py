"""The engineer's pages, and the lesson that anybody may take."""
