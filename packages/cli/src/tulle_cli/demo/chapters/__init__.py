"""The story's chapters: each module has `tell(scene)`, and claims only what it has checked."""
