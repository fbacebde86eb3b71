"""What the system tests share: a private installation of the real pgtwig on a real file system, and its removal."""
