"""The API server's part: objects, their store, admission, and the controllers that keep them true."""
