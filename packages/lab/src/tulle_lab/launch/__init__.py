"""From the user's shell into the lab's own namespaces, and the wait until the daemon answers."""
